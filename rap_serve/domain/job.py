"""Long work that goes on behind the requests: started by one, followed by others, finished whoever dies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

JobKind: TypeAlias = Literal["import", "export", "erase-user", "erase-tenant", "move-tenant", "re-embed"]
JobState: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Backlog:
    """Jobs that some gateway should take up by now. ``longest_seconds``: for how long the first of them has waited."""

    waiting: int = 0
    longest_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """``done`` out of ``total`` steps, where the total is known. Times are milliseconds since 1970.

    ``wanted``: what was asked for. ``kept``: what it needs to go on after a gateway died. ``result``: what came of it,
    in part while it runs; of an import it names lines that failed. All of them plain values.
    """

    id: str
    tenant: str
    user: str
    kind: JobKind
    state: JobState = "queued"
    created_at: int
    ended_at: int | None = None
    done: int = 0
    total: int | None = None
    wanted: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    cancelling: bool = False
