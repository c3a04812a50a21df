"""Pictures that are asked about: decoded once, as long as their owner asks about them again."""

import asyncio
import hashlib

from rap_serve.domain.concept import Owner
from rap_serve.domain.lru import ByteLru
from rap_serve.domain.ports import Picture, Pictures

IDLE_SECONDS = 60.0
SWEEP_SECONDS = 10.0


class AskedPictures:
    """In front of ``Pictures``. One owner's are not another's: nobody can time whether somebody else has sent them."""

    def __init__(self, pictures: Pictures, *, max_bytes: int) -> None:
        """``max_bytes``: of what is kept, pixels included."""
        self._pictures = pictures
        self._kept: ByteLru[Picture] = ByteLru(max_bytes)

    async def __call__(self, owner: Owner, reference: str) -> Picture:
        """The picture behind ``reference``; see Pictures. An address is fetched each time: what it shows may change."""
        if not reference.startswith("data:"):
            return await self._pictures.load(reference)
        key = owner, hashlib.sha256(reference.encode()).digest()
        kept = self._kept.get(key)
        if kept is None:
            kept = await self._pictures.load(reference)
            self._kept.put(key, kept, kept.pixels.nbytes + len(kept.data))
        return kept

    async def watch(self) -> None:
        """Keeps forgetting what nobody asks about any more; for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._kept.drop_idle(IDLE_SECONDS)
