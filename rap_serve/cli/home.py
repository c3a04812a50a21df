"""The folder that holds one local service: where it is, how far it has come, what it logged."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

HomeOption: TypeAlias = Annotated[
    Path, typer.Option("--home", envvar="RAP_HOME", help="Where the service keeps its state.")
]
DEFAULT_HOME = Path(".rap")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the start. ``state``: waiting, running, done or failed."""

    name: str
    state: str
    detail: str


@dataclass(frozen=True, slots=True)
class StartStatus:
    """How far a start has come. ``state``: starting, ready, failed or stopped."""

    state: str = "starting"
    steps: tuple[Step, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """Where a service is, and the keys that open it. ``operator_key`` is empty where it is not known."""

    url: str
    api_key: str = field(repr=False)
    operator_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Home:
    """The files of one home, read as they are now."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "Home":
        """The home at ``path``, which need not exist yet."""
        return cls(path.expanduser().resolve())

    @property
    def log(self) -> Path:
        return self.path / "logs" / "service.log"

    @property
    def service_file(self) -> Path:
        return self.path / "service.json"

    @property
    def status_file(self) -> Path:
        return self.path / "status.json"

    def service(self) -> Service | None:
        """What the running service wrote about itself, if anything."""
        found = _read(self.service_file)
        if not found or not {"url", "api_key"} <= found.keys():
            return None
        return Service(str(found["url"]), str(found["api_key"]), str(found.get("operator_key", "")))

    def status(self) -> StartStatus:
        """How far the start has come; nothing done where nothing is written."""
        found = _read(self.status_file)
        if not found:
            return StartStatus()
        return StartStatus(str(found.get("state", "starting")), _steps(found.get("steps", ())), found.get("error"))

    def forget_last_run(self) -> None:
        """Removes what an earlier run wrote about itself, and keeps its log aside."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.service_file.unlink(missing_ok=True)
        self.status_file.unlink(missing_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))

    def last_log_lines(self, count: int = 30) -> list[str]:
        """The end of the service's log, oldest line first."""
        if not self.log.exists():
            return []
        return self.log.read_text(errors="replace").splitlines()[-count:]


def _steps(raw: Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    return tuple(Step(str(s["name"]), str(s.get("state", "")), str(s.get("detail") or "")) for s in raw)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
