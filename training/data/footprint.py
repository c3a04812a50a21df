"""How much memory a run takes, all of its processes together."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import psutil

PERIOD_SECONDS = 1.0


@dataclass(slots=True)
class Footprint:
    """The most seen so far, in bytes. ``largest_rss``: one process, shared memory counted in.

    ``total_private``: of this process and all below it together, shared memory left out.
    """

    largest_rss: int = 0
    total_private: int = 0

    def look(self) -> None:
        """Compare the present moment."""
        total = 0
        own = psutil.Process()
        for process in [own, *own.children(recursive=True)]:
            try:
                memory = process.memory_info()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            total += memory.rss - memory.shared
            self.largest_rss = max(self.largest_rss, memory.rss)
        self.total_private = max(self.total_private, total)


class Watch:
    """Looks at the memory now and then while its ``with`` block runs."""

    def __init__(self) -> None:
        self.footprint = Footprint()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Footprint:
        self._thread.start()
        return self.footprint

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            self.footprint.look()
