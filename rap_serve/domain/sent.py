"""Conversations on their way to a model that may hold their pictures already."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rap_serve.domain.prompt import ImagePart, TextPart


@dataclass(frozen=True, slots=True, eq=False)
class SentPicture:
    """A picture by its key. ``image``: its bytes, None where the model should hold it."""

    key: str
    image: ImagePart | None


SentPart: TypeAlias = TextPart | SentPicture


@dataclass(frozen=True, slots=True)
class SentTurn:
    """One message of a conversation."""

    role: Literal["user", "assistant", "system"]
    parts: tuple[SentPart, ...]


@dataclass(frozen=True, slots=True)
class Lacking:
    """Given instead of an answer: pictures that came without bytes and are not held."""

    keys: tuple[str, ...]


def picture_key(salt: str, name: str | bytes) -> str:
    """What models hold a picture under.

    ``salt`` is one owner's secret: equal pictures of two owners have two keys, so that neither can time, nor find,
    what the other has sent. No client can make one up.
    """
    named = name if isinstance(name, bytes) else name.encode()
    return hmac.new(salt.encode(), named, hashlib.sha256).hexdigest()
