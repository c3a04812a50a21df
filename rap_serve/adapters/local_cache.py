"""The cache of a single gateway, in its own memory."""

import contextlib
import secrets
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Hashable
from typing import Generic, TypeVar

from rap_serve.domain.concept import Owner
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Features

MAX_OWNERS = 100_000
CONCEPT_BYTES = 2_000  # what Python keeps for a concept besides its texts and embeddings, roughly
REGION_BYTES = 400

V = TypeVar("V")


class ByteLru(Generic[V]):
    """A mapping that forgets what was used longest ago once its values weigh more than ``max_bytes``."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()

    def get(self, key: Hashable) -> V | None:
        """The value, now the most recently used."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keeps ``value``, unless it alone is too heavy."""
        self.drop(key)
        if size > self._max_bytes:
            return
        self._entries[key] = (value, size)
        self._bytes += size
        while self._bytes > self._max_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self._bytes -= freed

    def drop(self, key: Hashable) -> None:
        """Forgets ``key``."""
        _, freed = self._entries.pop(key, (None, 0))
        self._bytes -= freed


class LocalCache:
    """Right for one gateway only: what another one writes, this one would not notice."""

    def __init__(self, *, max_bytes: int) -> None:
        self._generations: OrderedDict[str, str] = OrderedDict()
        self._writers: Counter[str] = Counter()
        self._libraries: ByteLru[tuple[str, Library]] = ByteLru(max_bytes)
        self._features: ByteLru[Features] = ByteLru(max_bytes // 4)

    async def generation(self, owner: Owner) -> str | None:
        """See Cache."""
        return None if self._writers[owner.scope] else self._current(owner.scope)

    async def library(self, owner: Owner, generation: str) -> Library | None:
        """See Cache."""
        entry = self._libraries.get(owner.scope)
        return entry[1] if entry is not None and entry[0] == generation else None

    async def store_library(self, owner: Owner, generation: str, library: Library) -> None:
        """See Cache."""
        if not self._writers[owner.scope] and generation == self._generations.get(owner.scope):
            self._libraries.put(owner.scope, (generation, library), library_bytes(library))

    async def features(self, owner: Owner, key: str) -> Features | None:
        """See Cache."""
        return self._features.get((owner.scope, key))

    async def store_features(self, owner: Owner, key: str, features: Features) -> None:
        """See Cache."""
        self._features.put((owner.scope, key), features, features_bytes(features))

    @contextlib.asynccontextmanager
    async def writing(self, owner: Owner) -> AsyncIterator[None]:
        """See Cache. Several writers may overlap."""
        self._replace(owner.scope)
        self._writers[owner.scope] += 1
        try:
            yield
        finally:
            self._replace(owner.scope)
            self._writers[owner.scope] -= 1
            if not self._writers[owner.scope]:
                del self._writers[owner.scope]

    async def available(self) -> bool:
        """See Cache."""
        return True

    def _current(self, scope: str) -> str:
        """The generation; one that was forgotten or never was becomes a fresh one, which no copy carries."""
        if scope not in self._generations:
            self._generations[scope] = fresh_generation()
            if len(self._generations) > MAX_OWNERS:
                self._generations.popitem(last=False)
        self._generations.move_to_end(scope)
        return self._generations[scope]

    def _replace(self, scope: str) -> None:
        self._generations.pop(scope, None)
        self._libraries.drop(scope)


def fresh_generation() -> str:
    """A generation that never was before."""
    return secrets.token_hex(12)


def library_bytes(library: Library) -> int:
    """Roughly what ``library`` takes of memory."""
    texts = sum(len(c.info) + sum(len(v) for v in c.metadata.values()) for c in library.concepts)
    return 2 * int(library.matrix.nbytes) + 2 * texts + CONCEPT_BYTES * (1 + len(library.concepts))


def features_bytes(features: Features) -> int:
    """Roughly what ``features`` take of memory."""
    return int(features.embeddings.nbytes) + REGION_BYTES * (1 + len(features.regions))
