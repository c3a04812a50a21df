"""How fast the machine is while something is measured on it: neighbours on the same silicon come and go."""

import threading
import time
from types import TracebackType

import numpy as np

EVERY_SECONDS = 0.5
ADDITIONS = 100_000


def step_ms() -> float:
    """CPU milliseconds of a small fixed piece of work, which fits into the caches next to a core."""
    began, total = time.thread_time(), 0
    for number in range(ADDITIONS):
        total += number
    return 1_000 * (time.thread_time() - began)


class Yardstick:
    """Times that work twice a second in a thread of its own, while it is entered; about 1 % of a core."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._steps: list[float] = []

    def __enter__(self) -> "Yardstick":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def ms(self) -> float:
        """The mean so far."""
        return float(np.mean(self._steps))

    def _run(self) -> None:
        while True:
            self._steps.append(step_ms())
            if self._ended.wait(EVERY_SECONDS):
                return
