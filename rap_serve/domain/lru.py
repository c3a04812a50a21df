"""A mapping that keeps what was used last."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class ByteLru(Generic[V]):
    """Forgets what was used longest ago once its values weigh more than ``max_bytes``."""

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._bytes = 0
        self._entries: OrderedDict[Hashable, tuple[V, int, float]] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    def get(self, key: Hashable) -> V | None:
        """The value, now the most recently used."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return None
        value, size, _ = entry
        self._entries[key] = (value, size, self._clock())
        return value

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keeps ``value``, unless it alone is too heavy."""
        self.drop(key)
        if size > self._max_bytes:
            return
        self._entries[key] = (value, size, self._clock())
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop_oldest()

    def drop(self, key: Hashable) -> None:
        """Forgets ``key``."""
        entry = self._entries.pop(key, None)
        self._bytes -= entry[1] if entry is not None else 0

    def drop_where(self, condition: Callable[[Hashable], bool]) -> int:
        """Forgets all keys that meet ``condition``; how many there were."""
        keys = [key for key in self._entries if condition(key)]
        for key in keys:
            self.drop(key)
        return len(keys)

    def drop_idle(self, seconds: float) -> None:
        """Forgets what was not used for so long."""
        before = self._clock() - seconds
        while self._entries and next(iter(self._entries.values()))[2] < before:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, (_, freed, _) = self._entries.popitem(last=False)
        self._bytes -= freed
