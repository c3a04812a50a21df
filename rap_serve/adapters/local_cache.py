"""The cache of a single gateway, in its own memory."""

import asyncio
import contextlib
import secrets
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator

from rap_serve.domain.concept import Owner
from rap_serve.domain.library import Library
from rap_serve.domain.lru import ByteLru
from rap_serve.domain.ports import Features, Generation, Moment, Write

MAX_OWNERS = 100_000
CONCEPT_BYTES = 2_000  # what Python keeps for a concept besides its texts and embeddings, roughly
REGION_BYTES = 400


class LocalCache:
    """Right for one gateway only: what another one writes, this one would not notice."""

    def __init__(self, *, max_bytes: int) -> None:
        self._generations: OrderedDict[str, Generation] = OrderedDict()
        self._turns: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._libraries: ByteLru[tuple[Generation, Library]] = ByteLru(max_bytes)
        self._features: ByteLru[Features] = ByteLru(max_bytes // 4)

    async def generation(self, owner: Owner) -> Generation | None:
        """See Cache."""
        return None if self._turn(owner).locked() else self._current(owner.scope)

    async def library(self, owner: Owner, generation: Generation) -> Library | None:
        """See Cache."""
        entry = self._libraries.get(owner.scope)
        return entry[1] if entry is not None and entry[0] == generation else None

    async def store_library(self, owner: Owner, generation: Generation, library: Library) -> None:
        """See Cache."""
        if generation == self._generations.get(owner.scope):
            self._libraries.put(owner.scope, (generation, library), library_bytes(library))

    async def features(self, owner: Owner, key: str) -> Features | None:
        """See Cache."""
        return self._features.get((owner.scope, key))

    async def store_features(self, owner: Owner, key: str, features: Features) -> None:
        """See Cache."""
        self._features.put((owner.scope, key), features, features_bytes(features))

    @contextlib.asynccontextmanager
    async def writing(self, owner: Owner) -> AsyncIterator[Write]:
        """See Cache."""
        async with self._turn(owner):
            before = self._generations.pop(owner.scope, None)
            self._libraries.drop(owner.scope)
            write = Write(after=before.moment if before else None)
            try:
                yield write
            finally:
                self._renew(owner.scope, write.moment)

    async def purge(self, owner: Owner) -> int:
        """See Cache."""
        libraries = self._libraries.drop_where(lambda key: key == owner.scope)
        return libraries + self._features.drop_where(lambda key: isinstance(key, tuple) and key[0] == owner.scope)

    async def available(self) -> bool:
        """See Cache."""
        return True

    def _turn(self, owner: Owner) -> asyncio.Lock:
        return self._turns.setdefault(owner.scope, asyncio.Lock())

    def _current(self, scope: str) -> Generation:
        """The generation; one that was forgotten or never was becomes a fresh one, which no copy carries."""
        if scope not in self._generations:
            self._renew(scope, None)
        self._generations.move_to_end(scope)
        return self._generations[scope]

    def _renew(self, scope: str, moment: Moment | None) -> None:
        self._generations[scope] = Generation(fresh_generation(), moment)
        if len(self._generations) > MAX_OWNERS:
            self._generations.popitem(last=False)


def fresh_generation() -> str:
    """The id of a generation that never was before."""
    return secrets.token_hex(12)


def library_bytes(library: Library) -> int:
    """Roughly what ``library`` takes of memory."""
    texts = sum(len(c.info) + sum(len(v) for v in c.metadata.values()) for c in library.concepts)
    return 2 * int(library.matrix.nbytes) + 2 * texts + CONCEPT_BYTES * (1 + len(library.concepts))


def features_bytes(features: Features) -> int:
    """Roughly what ``features`` take of memory."""
    return int(features.embeddings.nbytes) + REGION_BYTES * (1 + len(features.regions))
