"""What the use cases need from the outside, and what they may rely on."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import NewType, Protocol

from rap_serve.domain.chat import Delta, Sampling
from rap_serve.domain.concept import Concept, ConceptVersion, EmbeddingSpace, Owner, Vector
from rap_serve.domain.errors import RapError, Unavailable
from rap_serve.domain.library import Library
from rap_serve.domain.match import Matrix
from rap_serve.domain.prompt import Turn
from rap_serve.domain.region import BoxXyxy, Pixels, Region, checked_box


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, of bounded size.

    ``original_size``: width and height as sent, in whose pixels callers speak of boxes; ``pixels`` may be
    smaller. ``data``: the same pixels encoded as ``media_type``, which loses a little unless it is ``verbatim`` what
    was sent. ``digest``: sha256 hex of the bytes as sent.
    """

    pixels: Pixels
    original_size: tuple[int, int]
    data: bytes
    media_type: str
    digest: str
    verbatim: bool = False

    @property
    def scale(self) -> float:
        """Pixels here per pixel as sent, at most 1."""
        return float(self.pixels.shape[1] / self.original_size[0])

    def checked_box(self, box: Sequence[float]) -> BoxXyxy:
        """``box``, in pixels as sent, clipped to the picture; raises InvalidInput where nothing is left."""
        return checked_box(box, *self.original_size)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """What the models see in a picture. ``embeddings``: float32, (regions, dim), L2 norm 1."""

    regions: tuple[Region, ...]
    embeddings: Matrix


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An avatar near a query. ``similarity``: cosine."""

    concept_id: str
    avatar_id: str
    similarity: float


Moment = NewType("Moment", int)
"""A point in a memory's own time, later ones larger."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What copies of an owner's library are kept under.

    ``moment``: that of the owner's last write. None where nobody knows it; then only the newest will do.
    """

    id: str
    moment: Moment | None = None


@dataclass(slots=True)
class Write:
    """A write to an owner's memory, while it goes on.

    ``after``: the moment of the owner's last write before it, None where nobody knows it. ``moment``: its own, to be
    set by whoever writes; one that is never set, as the write failed perhaps, leaves the moment unknown.
    ``alone``: false where another gateway may still be writing, since what kept them apart was lost meanwhile.
    """

    after: Moment | None = None
    moment: Moment | None = None
    alone: bool = True

    def require_alone(self) -> None:
        """Raises Unavailable where it is not: for who carries what others must not write meanwhile."""
        if not self.alone:
            raise Unavailable("Another write to this memory may be under way; try again.")


@dataclass(frozen=True, slots=True, eq=False)
class NewBlob:
    """Bytes to be kept. ``digest``: sha256 in hexadecimal, of what makes them one thing."""

    digest: str
    data: bytes = field(repr=False)
    media_type: str


class Pictures(Protocol):
    """Where a reference to a picture becomes the picture."""

    async def load(self, reference: str | bytes) -> Picture:
        """The picture behind a data URL, an https URL, or in raw bytes.

        Raises InvalidImage, TooLarge or UnsafeImageUrl.
        """

    async def load_each(self, files: Sequence[bytes]) -> list[Picture | RapError]:
        """Each picture in its raw bytes, or why there is none."""

    async def cropped(self, picture: Picture, box_xyxy: BoxXyxy) -> Picture:
        """What of ``picture`` lies in a box, in pixels of ``picture.pixels``."""


class Detector(Protocol):
    """Open-vocabulary detection."""

    async def detect(self, pixels: Pixels, vocabulary: tuple[str, ...]) -> tuple[Region, ...]:
        """Regions that show anything of ``vocabulary``, surest first. Raises Overloaded or Unavailable."""


class Embedder(Protocol):
    """Pictures and texts as unit vectors; equal versions give comparable vectors."""

    async def embed(self, pixels: Pixels, boxes_xyxy: Sequence[BoxXyxy]) -> Matrix:
        """One row a box: float32, (boxes, dim), L2 norm 1. Raises Overloaded or Unavailable."""

    async def embed_crops(self, crops: Sequence[Pixels]) -> Matrix:
        """The same for what was cut out already, of many pictures perhaps: one row a crop."""


class Mllm(Protocol):
    """A multimodal LLM."""

    def stream(
        self, turns: Sequence[Turn], sampling: Sampling, *, model: str, owner: Owner, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        """The answer as it is made. Closing the generator ends the work.

        Raises InvalidInput where the prompt does not fit, Overloaded or Unavailable.
        """

    def holds(self, owner: Owner, name: str) -> bool:
        """Whether the bytes of a picture of that name are likely not to be asked for in the owner's next prompt."""


class BlobStore(Protocol):
    """Pictures at rest, per owner and by content: the same bytes of one owner are kept once."""

    async def put(self, owner: Owner, digest: str, data: bytes, media_type: str) -> str:
        """The key of the stored bytes; durable when it returns."""

    async def put_all(self, owner: Owner, blobs: Sequence[NewBlob]) -> list[str]:
        """The same for several, which cost little more than one."""

    async def get(self, owner: Owner, key: str) -> tuple[bytes, str]:
        """Bytes and media type. Raises NotFound; a key of another owner is not found."""

    async def delete(self, owner: Owner, keys: Sequence[str]) -> None:
        """Removes what is there of ``keys``."""

    async def keys(self, owner: Owner) -> list[str]:
        """The keys of all that the owner has."""


class SealedBlobs(BlobStore, Protocol):
    """A picture store that is closed by its owners' seals."""

    async def purge(self, owner: Owner) -> int:
        """Removes what no seal opens any more, since the owner was erased; how many there were."""


class ConceptMemory(Protocol):
    """Where concepts live. No call can see across owners; an acknowledged write is durable.

    Every call sees the owner's writes up to the moment ``after``. Without one it sees every acknowledged write,
    which may take longer.
    """

    async def library(
        self, owner: Owner, *, space: EmbeddingSpace | None = None, after: Moment | None = None
    ) -> Library:
        """All of the owner's concepts, with their embeddings in ``space``. Raises Unavailable.

        ``space``: None for whichever the memory likes, where embeddings do not matter.
        """

    async def put(
        self, concept: Concept, *, expected_version: int | None, after: Moment | None = None
    ) -> Moment | None:
        """Stores one whole concept, or nothing of it, and returns when; None where the memory keeps no time.

        Embeddings in spaces that ``concept`` has none in are kept of the avatars that stay; a space in which an avatar
        has none loses the concept.
        ``expected_version``: what the stored concept's version must be; None where there must be none.
        Raises NameTaken, VersionMismatch, ConceptNotFound, Unavailable.
        """

    async def add(
        self, owner: Owner, concepts: Sequence[Concept], *, after: Moment | None = None
    ) -> tuple[frozenset[str], Moment | None]:
        """Stores first versions of several concepts, each whole; the ids of those whose names were taken.

        Raises Unavailable; then some may be stored.
        """

    async def delete(
        self, owner: Owner, concept_id: str, *, expected_version: int | None = None, after: Moment | None = None
    ) -> tuple[Concept, Moment | None]:
        """Removes a concept and returns what it was, and when. None as version: whichever.

        Raises ConceptNotFound, VersionMismatch, Unavailable.
        """

    async def remove(self, owner: Owner, concept_ids: Sequence[str]) -> Moment | None:
        """Removes several concepts, whichever versions they are at, and returns when.

        Raises Unavailable; then some may be gone.
        """

    async def history(
        self, owner: Owner, concept_id: str, *, after: Moment | None = None
    ) -> tuple[ConceptVersion, ...]:
        """The concept's last MAX_VERSIONS versions, newest first; none where there is no such concept."""

    async def nearest(
        self,
        owner: Owner,
        queries: Matrix,
        *,
        k: int,
        space: EmbeddingSpace | None = None,
        after: Moment | None = None,
    ) -> list[list[Neighbour]]:
        """Up to ``k`` avatars of the owner per row, best first. ``queries``: float32, (n, dim of ``space``), norm 1."""

    async def ping(self) -> None:
        """Returns if the memory answers; raises Unavailable."""


class MoveReceipt(Protocol):
    """What was carried. ``digest``: of all of it."""

    @property
    def concepts(self) -> int: ...

    @property
    def digest(self) -> str: ...


class MovableConcepts(Protocol):
    """A concept memory with shelves. Both calls go inside the owner's ``writing``."""

    async def move(self, owner: Owner, shelf: str) -> MoveReceipt:
        """Carries all of the owner's to a shelf and verifies it; what was there before stays, unread, until cleared.

        Raises Conflict where it did not arrive as it was, and then the owner stays where it is.
        """

    async def clear(self, owner: Owner) -> None:
        """Removes what was left of the owner where it was before."""


class ReembeddableConcepts(Protocol):
    """A concept memory that keeps embeddings of several spaces side by side. Both go inside the owner's ``writing``."""

    async def complete(self, owner: Owner, space: EmbeddingSpace, embeddings: Mapping[str, Vector]) -> Moment | None:
        """Adds to the owner's concepts what they lack in ``space``: of those whose avatars all have an embedding.

        ``embeddings``: by avatar. Nothing else of a concept changes, its version neither.
        """

    async def keep_only(self, owner: Owner, space: EmbeddingSpace) -> Moment | None:
        """Forgets the embeddings in other spaces, of the concepts that have theirs in this one."""


class SealedConcepts(ConceptMemory, Protocol):
    """A concept memory that is closed by its owners' seals."""

    async def purge(self, owner: Owner) -> dict[str, int]:
        """Takes away what no seal opens any more, since the owner was erased; how much of what there was."""


class Cache(Protocol):
    """Copies of what is costly to make again. Losing it loses time only.

    A library is kept under the owner's generation, which each write replaces; features depend on nothing
    that can change and need none. No method raises on an outage but ``writing``.
    """

    async def generation(self, owner: Owner) -> Generation | None:
        """The owner's generation; None while it must not be used (a write is going on, or an outage)."""

    async def library(self, owner: Owner, generation: Generation) -> Library | None: ...

    async def store_library(self, owner: Owner, generation: Generation, library: Library) -> None: ...

    async def features(self, owner: Owner, key: str) -> Features | None: ...

    async def store_features(self, owner: Owner, key: str, features: Features) -> None: ...

    def writing(self, owner: Owner) -> AbstractAsyncContextManager[Write]:
        """Around every write to memory: nobody reads or fills a copy from before it, once it has ended.

        Writers of one owner take turns, but for ``Write.alone``. Raises Unavailable on entering where copies cannot
        be kept out of the way.
        """

    async def purge(self, owner: Owner) -> int:
        """Drops all copies of an owner's; how many there were, as far as that is known."""

    async def available(self) -> bool:
        """Whether copies can be kept at all right now."""
