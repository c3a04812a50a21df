"""What is watched while a load test runs: the service's processes, and what it counts."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from loadtest.load.prometheus import Reading, watched
from loadtest.processes import role, service_processes
from loadtest.yardstick import step_ms

PROCESS_SECONDS = 5.0
SCRAPE_SECONDS = 10.0
"""As often as Ray exports."""

FOUND_AGAIN_EVERY = 6
_MB = 1_048_576


class Processes:
    """Memory, processor time and open files of each process of a home, replicas that come and go included."""

    def __init__(self, home: Path | None, others: dict[str, psutil.Process]) -> None:
        """``others``: further processes to watch, by role."""
        self._home = home
        self._others = others
        self._known: dict[int, tuple[str, psutil.Process]] = {}
        self._count = 0

    def sample(self) -> dict[str, Any]:
        """``own_mb``: memory that is not shared with others, files and shared memory left out.

        ``yardstick_ms``: how long a fixed piece of work takes, whatever the service does.
        """
        if self._count % FOUND_AGAIN_EVERY == 0:
            self._find()
        self._count += 1
        readings = []
        for name, process in list(self._known.values()):
            try:
                with process.oneshot():
                    memory = process.memory_info()
                    reading = {
                        "role": name,
                        "pid": process.pid,
                        "rss_mb": round(memory.rss / _MB, 2),
                        "own_mb": round((memory.rss - memory.shared) / _MB, 2),
                        "cpu_percent": process.cpu_percent(),
                        "open_files": process.num_fds(),
                        "threads": process.num_threads(),
                    }
            except psutil.Error:
                del self._known[process.pid]
                continue
            readings.append(reading)
        return {
            "at": time.time(),
            "cpu_percent": psutil.cpu_percent(),
            "yardstick_ms": round(step_ms(), 3),
            "processes": readings,
        }

    def _find(self) -> None:
        found = {p.pid: (role(p), p) for p in service_processes(self._home)} if self._home else {}
        found |= {p.pid: (name, p) for name, p in self._others.items()}
        self._known = {pid: self._known.get(pid, new) for pid, new in found.items()}


class Scrapes:
    """What the service counts, as ``/metrics`` tells it."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def sample(self) -> dict[str, Any]:
        """The series that the report speaks of; none where the service did not answer."""
        at = time.time()
        try:
            answer = self._http.get("/metrics")
        except httpx.HTTPError:
            return {"at": at, "readings": []}
        readings: list[Reading] = watched(answer.text) if answer.status_code == httpx.codes.OK else []
        return {"at": at, "seconds": round(time.time() - at, 3), "readings": [r.json() for r in readings]}


@contextmanager
def recorded(sample: Callable[[], dict[str, Any]], path: Path, every_seconds: float) -> Iterator[None]:
    """Writes a sample a line to ``path`` while what is inside runs, one at the end too."""
    ended = threading.Event()

    def record() -> None:
        with path.open("w", buffering=1) as out:
            while True:
                out.write(json.dumps(sample()) + "\n")
                if ended.is_set():
                    return
                ended.wait(every_seconds)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
