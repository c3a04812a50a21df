"""Pictures at rest that only their owner's seal opens."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from rap_serve.domain.catalogue import Seal, Seals
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import NotFound
from rap_serve.domain.ports import BlobStore, NewBlob

PURPOSE = "picture"
REMEMBERED_SEALS = 10_000


class SealedBlobStore:
    """Any picture store, with every blob closed by its owner's seal."""

    def __init__(self, blobs: BlobStore, seals: Seals) -> None:
        self._blobs = blobs
        self._seals = seals
        self._known: OrderedDict[str, Seal] = OrderedDict()

    async def put(self, owner: Owner, digest: str, data: bytes, media_type: str) -> str:
        """See BlobStore."""
        return (await self.put_all(owner, [NewBlob(digest, data, media_type)]))[0]

    async def put_all(self, owner: Owner, blobs: Sequence[NewBlob]) -> list[str]:
        """See BlobStore."""
        seal = await self._seals.made(owner)
        sealed = await asyncio.to_thread(lambda: [replace(b, data=seal.close(b.data, PURPOSE)) for b in blobs])
        return await self._blobs.put_all(owner, sealed)

    async def get(self, owner: Owner, key: str) -> tuple[bytes, str]:
        """See BlobStore; what an earlier seal closed is not found."""
        sealed, media_type = await self._blobs.get(owner, key)
        known = self._known.get(owner.scope)
        data = None if known is None else await _opened(known, sealed)
        if data is None:  # a seal that was remembered may be of an earlier epoch
            data = await _opened(await self._fresh(owner), sealed)
        if data is None:
            raise NotFound("There is no such picture here.")
        return data, media_type

    async def delete(self, owner: Owner, keys: Sequence[str]) -> None:
        """See BlobStore."""
        await self._blobs.delete(owner, keys)

    async def keys(self, owner: Owner) -> list[str]:
        """See BlobStore."""
        return await self._blobs.keys(owner)

    async def purge(self, owner: Owner) -> int:
        """See SealedBlobs. What is stored while this runs is left alone."""
        self._known.pop(owner.scope, None)
        keys = await self._blobs.keys(owner)
        seal = await self._seals.of(owner)
        gone = [key for key in keys if seal is None or not await self._opens(seal, owner, key)]
        await self._blobs.delete(owner, gone)
        return len(gone)

    async def _opens(self, seal: Seal, owner: Owner, key: str) -> bool:
        try:
            return await _opened(seal, (await self._blobs.get(owner, key))[0]) is not None
        except NotFound:
            return False

    async def _fresh(self, owner: Owner) -> Seal:
        seal = await self._seals.of(owner)
        if seal is None:
            raise NotFound("There is no such picture here.")
        self._known[owner.scope] = seal
        self._known.move_to_end(owner.scope)
        while len(self._known) > REMEMBERED_SEALS:
            self._known.popitem(last=False)
        return seal


async def _opened(seal: Seal, sealed: bytes) -> bytes | None:
    """The picture; None where another seal closed it."""
    try:
        return await asyncio.to_thread(seal.open, sealed, PURPOSE)
    except ValueError:
        return None
