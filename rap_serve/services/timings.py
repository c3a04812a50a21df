"""Where the time of one request went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timings:
    """Milliseconds per step of one request, added up where a step comes twice."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._began = time.perf_counter()

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Counts what runs inside towards ``step``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.count(step, (time.perf_counter() - start) * 1_000)

    def until_now(self, step: str) -> None:
        """Counts all that went by since these timings began towards ``step``."""
        self.count(step, (time.perf_counter() - self._began) * 1_000)

    def count(self, step: str, milliseconds: float) -> None:
        """Counts what was measured elsewhere towards ``step``."""
        self.milliseconds[step] = round(self.milliseconds.get(step, 0.0) + milliseconds, 3)
