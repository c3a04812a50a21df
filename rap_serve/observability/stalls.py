"""How late the event loop is: whatever runs on it without giving way makes everybody else wait."""

import asyncio
import time
from collections.abc import Callable

TICK_SECONDS = 0.1


class LoopWatch:
    """Wakes up ten times a second and tells how much later than meant it was."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        """``observe`` is told seconds."""
        self._observe = observe

    async def watch(self) -> None:
        """Keeps looking; for ever."""
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_SECONDS)
            self._observe(max(0.0, time.perf_counter() - began - TICK_SECONDS))
