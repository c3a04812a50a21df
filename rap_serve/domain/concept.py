"""What an owner has shown the service: concepts and their avatars."""

import os
import re
import time
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.errors import InvalidInput, InvalidName, TooLarge
from rap_serve.domain.region import BoxXyxy, Pixels, scaled

Vector: TypeAlias = NDArray[np.float32]

MAX_NAME_LENGTH = 64
MAX_CATEGORY_LENGTH = 64
MAX_INFO_LENGTH = 2_000
MAX_METADATA_ENTRIES = 32
MAX_METADATA_LENGTH = 512
MAX_AVATARS = 16
MAX_VERSIONS = 50

_OWNER_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,64}")
_NAME = re.compile(r"\w[\w .-]*")
_CATEGORY = re.compile(r"\w[\w ,.&/()-]*")
HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose memory it is: the unit of storage, isolation and caching.

    Raises InvalidName for ids outside ``[A-Za-z0-9._-]{1,64}``.
    """

    tenant: str
    user: str

    def __post_init__(self) -> None:
        for part in (self.tenant, self.user):
            if not _OWNER_ID.fullmatch(part):
                raise InvalidName("A user id is 1 to 64 characters out of A-Z, a-z, 0-9, '.', '_' and '-'.")

    @property
    def scope(self) -> str:
        return f"{self.tenant}/{self.user}"


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """What one embedder's weights span: embeddings compare within it alone. ``dim``: how long they are."""

    version: str
    dim: int


NOWHERE = EmbeddingSpace("", 0)
"""The space of those who embed nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Avatar:
    """One picture of a concept.

    ``embeddings``: of the box or the whole picture, by the version of their space: float32, (dim,), L2 norm 1.
    ``box_xyxy`` is in pixels of the picture as it was sent, which was ``picture_size`` (width, height); the
    stored picture may be smaller. ``size_bytes``: of the stored picture. ``shows``: false where it is a correction, a
    picture of something else that was taken for the concept.
    """

    id: str
    image_key: str
    size_bytes: int
    picture_size: tuple[int, int]
    box_xyxy: BoxXyxy | None
    embeddings: Mapping[str, Vector] = field(default_factory=dict)
    shows: bool = True

    def box_in(self, pixels: Pixels) -> BoxXyxy | None:
        """The box in a copy of the picture of any size."""
        return self.box_xyxy and scaled(self.box_xyxy, float(pixels.shape[1] / self.picture_size[0]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Concept:
    """Something of an owner's. ``version`` starts at 1 and grows by one with each edit.

    ``write_id``: of the request that wrote this version, where it had an idempotency key.
    """

    id: str
    owner: Owner
    name: str
    category: str
    info: str
    version: int
    created_at: int
    updated_at: int
    avatars: tuple[Avatar, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    info_generated: bool = False
    write_id: str = ""

    @property
    def shown(self) -> tuple[Avatar, ...]:
        """The avatars that show it; at least one."""
        return tuple(a for a in self.avatars if a.shows)

    @property
    def corrections(self) -> tuple[Avatar, ...]:
        """The avatars that show something else."""
        return tuple(a for a in self.avatars if not a.shows)

    @property
    def folded_name(self) -> str:
        return fold_name(self.name)

    def embeddings(self, version: str) -> tuple[Vector, ...]:
        """In one space, of all avatars or of none: a concept is found in pictures as a whole or not at all."""
        found = tuple(a.embeddings[version] for a in self.avatars if version in a.embeddings)
        return found if len(found) == len(self.avatars) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConceptVersion:
    """What a concept said at one of its versions, and which request wrote it. Avatars of earlier ones may be gone."""

    version: int
    name: str
    category: str
    info: str
    metadata: Mapping[str, str]
    avatar_ids: tuple[str, ...]
    updated_at: int
    write_id: str = ""


def fold_name(name: str) -> str:
    """The form in which names are compared: NFKC, case folded."""
    return unicodedata.normalize("NFKC", name).casefold()


def checked_name(name: str) -> str:
    """``name`` without angle brackets and surrounding blanks; raises InvalidName."""
    bare = unicodedata.normalize("NFC", name).strip()
    if bare.startswith("<") and bare.endswith(">"):
        bare = bare[1:-1].strip()
    if len(bare) > MAX_NAME_LENGTH or not _NAME.fullmatch(bare):
        raise InvalidName(
            f"A name is 1 to {MAX_NAME_LENGTH} letters, digits, blanks, '.', '_' or '-', and starts with a letter "
            "or a digit."
        )
    return bare


def checked_category(category: str) -> str:
    """``category`` trimmed and lower-cased, empty allowed; raises InvalidInput."""
    bare = " ".join(category.split()).lower()
    if bare and (len(bare) > MAX_CATEGORY_LENGTH or not _CATEGORY.fullmatch(bare)):
        raise InvalidInput(f"A category is a few plain words, at most {MAX_CATEGORY_LENGTH} characters.")
    return bare


def checked_text(text: str) -> str:
    """``text`` as it was given; raises InvalidInput where it holds half a character, which no answer could repeat."""
    if not text.isascii() and HALF_CHARACTER.search(text):
        raise InvalidInput("The text holds half a character (a lone surrogate): send valid Unicode.")
    return text


def checked_info(info: str) -> str:
    """``info`` as it was given; raises TooLarge past its limit, InvalidInput for no text."""
    checked_text(info)
    if len(info) > MAX_INFO_LENGTH:
        raise TooLarge(f"Info has {len(info)} characters; the limit is {MAX_INFO_LENGTH}.")
    return info


def checked_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """A copy of ``metadata``; raises TooLarge past its limits, InvalidInput for no text."""
    for text in (*metadata, *metadata.values()):
        checked_text(text)
    too_long = any(len(k) > 64 or len(v) > MAX_METADATA_LENGTH for k, v in metadata.items())
    if len(metadata) > MAX_METADATA_ENTRIES or too_long:
        raise TooLarge(
            f"Metadata is at most {MAX_METADATA_ENTRIES} entries, keys of 64 and values of {MAX_METADATA_LENGTH} "
            "characters."
        )
    return dict(metadata)


def new_ulid(*, now_ms: int | None = None) -> str:
    """A fresh ULID: 26 characters that sort by time of creation (github.com/ulid/spec)."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    number = (milliseconds << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
