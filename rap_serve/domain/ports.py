"""What the use cases need from the outside, and what they may rely on."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NewType, Protocol

from rap_serve.domain.chat import Delta, Sampling
from rap_serve.domain.concept import Concept, ConceptVersion, Owner
from rap_serve.domain.job import Job
from rap_serve.domain.library import Library
from rap_serve.domain.match import Matrix
from rap_serve.domain.prompt import Turn
from rap_serve.domain.region import BoxXyxy, Pixels, Region, checked_box
from rap_serve.domain.tenancy import (
    Act,
    Allowance,
    Amounts,
    ApiKey,
    Audited,
    Consumption,
    Limits,
    Tenant,
    TenantState,
)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, of bounded size.

    ``original_size``: width and height as sent, in whose pixels callers speak of boxes; ``pixels`` may be
    smaller. ``data``: the same pixels encoded as ``media_type``. ``digest``: sha256 hex of the bytes as sent.
    """

    pixels: Pixels
    original_size: tuple[int, int]
    data: bytes
    media_type: str
    digest: str

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
    """

    after: Moment | None = None
    moment: Moment | None = None


class Pictures(Protocol):
    """Where a reference to a picture becomes the picture."""

    async def load(self, reference: str | bytes) -> Picture:
        """The picture behind a data URL, an https URL, or in raw bytes.

        Raises InvalidImage, TooLarge or UnsafeImageUrl.
        """

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


class Mllm(Protocol):
    """A multimodal LLM."""

    def stream(
        self, turns: Sequence[Turn], sampling: Sampling, *, model: str, owner: Owner, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        """The answer as it is made. Closing the generator ends the work.

        Raises InvalidInput where the prompt does not fit, Overloaded or Unavailable.
        """


class BlobStore(Protocol):
    """Pictures at rest, per owner and by content: the same bytes of one owner are kept once."""

    async def put(self, owner: Owner, digest: str, data: bytes, media_type: str) -> str:
        """The key of the stored bytes; durable when it returns."""

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


class Seal(Protocol):
    """Closes what one owner stores, so that only this seal opens it again.

    ``epoch``: grows with each erasure; what another epoch's seal closed is beyond reach.
    """

    @property
    def epoch(self) -> int: ...

    def close(self, data: bytes, purpose: str) -> bytes:
        """``data``, unreadable and unchangeable; the same bytes never twice."""

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """What was closed for this purpose; raises ValueError for anything else."""

    def hashed(self, text: str) -> str:
        """Equal for equal texts of this owner and epoch, and tells nothing of them: 64 hexadecimal digits."""


class Seals(Protocol):
    """The seals of all owners. Raises Unavailable."""

    async def of(self, owner: Owner) -> Seal | None:
        """The owner's seal; None for one that never stored anything, or was erased since."""

    async def made(self, owner: Owner) -> Seal:
        """The owner's seal, a fresh one if there is none."""


class Owners(Protocol):
    """The owners there are, and how often each was erased. Raises Unavailable."""

    async def epoch(self, owner: Owner) -> int:
        """How often the owner was erased, plus one."""

    async def erase(self, owner: Owner, act: Act | None) -> int:
        """Begins a new epoch and forgets the seal of the old one, which is returned."""

    async def page(self, tenant: str, *, after: str, limit: int) -> Sequence[str]:
        """Up to ``limit`` users of a tenant that ever stored something, after ``after``, in order."""


class ConceptMemory(Protocol):
    """Where concepts live. No call can see across owners; an acknowledged write is durable.

    Every call sees the owner's writes up to the moment ``after``. Without one it sees every acknowledged write,
    which may take longer.
    """

    async def library(self, owner: Owner, *, after: Moment | None = None) -> Library:
        """All of the owner's concepts. Raises Unavailable."""

    async def put(
        self, concept: Concept, *, expected_version: int | None, after: Moment | None = None
    ) -> Moment | None:
        """Stores one whole concept, or nothing of it, and returns when; None where the memory keeps no time.

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

    async def history(
        self, owner: Owner, concept_id: str, *, after: Moment | None = None
    ) -> tuple[ConceptVersion, ...]:
        """The concept's last MAX_VERSIONS versions, newest first; none where there is no such concept."""

    async def nearest(
        self, owner: Owner, queries: Matrix, *, k: int, after: Moment | None = None
    ) -> list[list[Neighbour]]:
        """Up to ``k`` avatars of the owner per row, best first. ``queries``: float32, (n, dim), norm 1."""

    async def ping(self) -> None:
        """Returns if the memory answers; raises Unavailable."""


class Shelves(Protocol):
    """Where in the memory each owner is. Raises Unavailable."""

    async def of(self, owner: Owner) -> str:
        """The name of the owner's shelf; for one who never stored anything, the tenant's."""

    async def place(self, owner: Owner, shelf: str) -> None:
        """The owner is on that shelf from now on; copies are left where it was."""

    async def left_on(self, owner: Owner) -> str | None:
        """The shelf where copies of the owner were left; None where there are none."""

    async def cleared(self, owner: Owner) -> None:
        """They are there no more."""

    async def assign(self, tenant: str, shelf: str, act: Act) -> None:
        """The tenant's new owners go to that shelf. Raises TenantNotFound."""


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

        Writers of one owner take turns. Raises Unavailable on entering where that cannot be promised.
        """

    async def purge(self, owner: Owner) -> int:
        """Drops all copies of an owner's; how many there were, as far as that is known."""

    async def available(self) -> bool:
        """Whether copies can be kept at all right now."""


@dataclass(frozen=True, slots=True)
class TenancyChanges:
    """Tenants and keys that changed, as they are now. ``revision``: from where to ask next time."""

    revision: int
    tenants: tuple[Tenant, ...]
    keys: tuple[ApiKey, ...]


class Tenants(Protocol):
    """The tenants and their keys. Every change is durable, and written down, when it returns. Raises Unavailable."""

    async def changes(self, *, since: int) -> TenancyChanges:
        """What changed after revision ``since``; all there is for 0."""

    async def add(self, tenant: Tenant, act: Act | None) -> None:
        """A new tenant; raises Conflict where the id is taken. ``act``: None for those of the settings."""

    async def get(self, tenant: str) -> Tenant:
        """Raises TenantNotFound."""

    async def page(self, *, after: str, limit: int) -> Sequence[Tenant]:
        """Up to ``limit`` tenants whose ids come after ``after``, in that order."""

    async def change(self, tenant: str, *, limits: Limits | None, state: TenantState | None, act: Act) -> Tenant:
        """The tenant with what is not None; raises TenantNotFound, for an erased one too."""

    async def add_key(self, key: ApiKey, act: Act) -> None:
        """Raises TenantNotFound."""

    async def keys(self, tenant: str) -> Sequence[ApiKey]:
        """All of a tenant's, oldest first, ended ones included. Raises TenantNotFound."""

    async def end_key(self, tenant: str, key_id: str, *, at: int, act: Act, successor: ApiKey | None = None) -> ApiKey:
        """Ends a key at ``at``, or when it would have ended anyway; ``successor`` is added with it. Raises NotFound."""


class Audit(Protocol):
    """What was done in administration, for ever."""

    async def note(self, act: Act) -> None:
        """Writes down what no other call does."""

    async def page(self, tenant: str | None, *, after: str, limit: int) -> Sequence[Audited]:
        """Up to ``limit`` acts after the one of that id, oldest first; of all tenants for None."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A part of a quota that a write under way has taken, or will give back."""

    id: str
    owner: Owner
    amounts: Amounts


class Quotas(Protocol):
    """What owners hold, counted exactly: the sum of all writes that were settled, and of those under way."""

    async def reserve(self, owner: Owner, amounts: Amounts) -> Reservation:
        """Before a write: takes what of ``amounts`` grows. Raises QuotaExceeded, and TenantNotFound."""

    async def settle(self, reservation: Reservation) -> None:
        """After a write that happened."""

    async def release(self, reservation: Reservation) -> None:
        """After a write that did not happen."""

    async def overdue(self, *, limit: int) -> Sequence[Reservation]:
        """Up to ``limit`` whose writer has died, or did not learn what came of its write."""

    async def recount(self, reservation: Reservation, actual: Amounts) -> None:
        """Ends an overdue reservation: its owner holds ``actual``."""

    async def correct(self, owner: Owner, actual: Amounts) -> None:
        """The owner holds ``actual``, whatever was counted."""

    async def held(self, tenant: str) -> Amounts:
        """What a tenant's owners hold, reservations included. Raises TenantNotFound."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Leave to do what a request with an idempotency key asks for.

    ``write_id``: the same for every attempt at it. ``number``: a later one than 1 follows a gateway that died.
    """

    tenant: str
    key: str
    write_id: str
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Replies(Protocol):
    """What was answered to requests with an idempotency key, for 24 hours."""

    async def begin(self, tenant: str, key: str, *, user: str, fingerprint: str) -> Attempt | Reply:
        """Leave to do it, or what was answered before.

        Raises KeyReused where the key came with another fingerprint, InProgress where somebody is at it.
        """

    async def finish(self, attempt: Attempt, reply: Reply) -> None:
        """Keeps the answer."""

    async def abandon(self, attempt: Attempt) -> None:
        """Forgets the attempt: the request may be tried again as if for the first time."""

    async def purge(self, owner: Owner) -> int:
        """Forgets what was answered to requests of a user's; how many there were."""


class Jobs(Protocol):
    """Long work, each piece of it one gateway's at a time. Raises Unavailable."""

    async def add(self, job: Job) -> None:
        """Queues it; durable when this returns."""

    async def get(self, tenant: str, job_id: str) -> Job:
        """Raises JobNotFound, for another tenant's too."""

    async def page(self, tenant: str, *, after: str, limit: int) -> Sequence[Job]:
        """Up to ``limit`` of a tenant's jobs after the one of that id, oldest first."""

    async def claim(self) -> Job | None:
        """The oldest that waits, or whose gateway died; it is this gateway's from now on."""

    async def keep(self, job: Job) -> bool:
        """How far it is, and a sign of life. False where it is to stop: cancelled, or another gateway's by now."""

    async def end(self, job: Job) -> None:
        """What came of it; nothing where it is another gateway's by now."""

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """Asks it to stop; what is done stays done. Raises JobNotFound."""


class Usage(Protocol):
    """What was used, per tenant, user, day and kind."""

    async def add(self, consumptions: Sequence[Consumption]) -> None:
        """Adds to what is there, all or nothing."""

    async def between(self, tenant: str, first_day: str, last_day: str, *, user: str | None) -> Sequence[Consumption]:
        """What a tenant, or one user of it, used on these days, both included; oldest first."""

    async def anonymise(self, owner: Owner) -> int:
        """Counts what a user used as nobody's; how many rows there were."""


class RateLimits(Protocol):
    """Limits per minute, shared by all gateways where they can be."""

    async def take(self, bucket: str, amount: int, *, per_minute: int) -> Allowance:
        """``amount`` out of ``bucket``, or nothing of it: then ``retry_in`` is set."""

    async def give_back(self, bucket: str, amount: int, *, per_minute: int) -> None:
        """What was taken too much; a negative amount takes more, whether it is there or not."""
