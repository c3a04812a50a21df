"""Where the time of one request went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timings:
    """Milliseconds per step, added up where a step comes twice."""

    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Counts what runs inside towards ``step``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - start) * 1_000
            self.milliseconds[step] = round(self.milliseconds.get(step, 0.0) + spent, 3)
