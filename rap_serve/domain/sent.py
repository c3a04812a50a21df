"""Conversations on their way to a model that may hold their pictures already."""

import hashlib
import hmac
from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rap_serve.domain.chat import Delta
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


async def joined(pieces: AsyncIterable[Delta | Lacking]) -> Delta | Lacking:
    """All of an answer as one piece; what is lacking, where that came instead."""
    deltas: list[Delta] = []
    async for piece in pieces:
        if isinstance(piece, Lacking):
            return piece
        deltas.append(piece)
    return Delta(
        "".join(d.text for d in deltas),
        finish_reason=next((d.finish_reason for d in reversed(deltas) if d.finish_reason), None),
        usage=next((d.usage for d in reversed(deltas) if d.usage), None),
        engine_milliseconds=deltas[0].engine_milliseconds if deltas else None,
    )
