"""A service to measure: one that runs already, or one of the benchmark's own."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from loadtest.processes import CpuMeter
from tests.running_service import RunningService


@dataclass(frozen=True, slots=True)
class Service:
    """Where it is and how to get in. ``home``: where its processes can be found, None elsewhere."""

    url: str
    key: str
    home: Path | None

    @classmethod
    def of(cls, home: Path) -> "Service":
        """The one that runs in ``home``."""
        told = json.loads((home / "service.json").read_text())
        return cls(told["url"], told["api_key"], home)

    def client(self) -> httpx.Client:
        """A client with its key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=300, trust_env=False)

    def meter(self) -> CpuMeter:
        """What its processes spend; of a service elsewhere only this client."""
        return CpuMeter(self.home)


@contextmanager
def service(home: Path | None, environment: dict[str, str] | None = None) -> Iterator[Service]:
    """The one of ``home``; without a home a new one, which ends afterwards with all that it stored."""
    if home is not None:
        yield Service.of(home)
        return
    with tempfile.TemporaryDirectory(prefix="rap-bench-") as folder:
        running = RunningService(Path(folder), environment or {})
        running.start()
        try:
            yield Service.of(running.home)
        finally:
            running.stop()
