"""The gateway's half of sending a picture once: bytes go only where the model is not known to hold them."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain

from rap_serve.domain.lru import ByteLru
from rap_serve.domain.prompt import ImageRef, Part, TextPart, Turn
from rap_serve.domain.sent import SentPart, SentPicture, SentTurn, picture_key

MAX_KEYS = 200_000


class PictureSender:
    """What one gateway knows of what is held. It may be wrong: there are several replicas, and they forget."""

    def __init__(self, observe: Callable[[int, int], None]) -> None:
        """``observe``: told how many pictures of a prompt went with bytes, and how many without."""
        self._held: ByteLru[bool] = ByteLru(MAX_KEYS)
        self._observe = observe

    def holds(self, salt: str, name: str) -> bool:
        """Whether a picture of that name was sent before."""
        return picture_key(salt, name) in self._held

    async def packed(self, turns: Sequence[Turn], salt: str, *, whole: bool) -> tuple[SentTurn, ...]:
        """The turns as they travel. ``whole``: with the bytes of all pictures, whoever holds them."""
        packed = [SentTurn(turn.role, await self._parts(turn.parts, salt, whole)) for turn in turns]
        pictures = _pictures(packed)
        with_bytes = sum(p.image is not None for p in pictures)
        self._observe(with_bytes, len(pictures) - with_bytes)
        return tuple(packed)

    def arrived(self, turns: Sequence[SentTurn]) -> None:
        """They were answered: whoever did holds their pictures now."""
        for picture in _pictures(turns):
            self._held.put(picture.key, True, 1)

    async def _parts(self, parts: Sequence[Part], salt: str, whole: bool) -> tuple[SentPart, ...]:
        return tuple(await asyncio.gather(*(self._part(part, salt, whole) for part in parts)))

    async def _part(self, part: Part, salt: str, whole: bool) -> SentPart:
        if isinstance(part, TextPart):
            return part
        if not isinstance(part, ImageRef):
            return SentPicture(picture_key(salt, part.data), part)
        key = picture_key(salt, part.name)
        held = not whole and self._held.get(key) is not None
        return SentPicture(key, None if held else await part.load())


def _pictures(turns: Sequence[SentTurn]) -> list[SentPicture]:
    return [p for p in chain.from_iterable(t.parts for t in turns) if isinstance(p, SentPicture)]
