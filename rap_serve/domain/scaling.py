"""How many replicas a deployment needs, by what waits for it and by how long its answers take."""

import math
from dataclasses import dataclass

SLACK = 0.7
"""A replica goes only where the others are then this busy at most: what comes and goes does not move the count."""

LARGEST_STEP = 2.0
"""By how much slow answers multiply the replicas at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """``running``: replicas that answer; ``target``: those that there shall be already.

    ``ongoing``: calls at work or waiting, of all replicas. ``latency_seconds``: what calls took lately; 0 where none
    ended.
    """

    running: int
    target: int
    ongoing: float
    latency_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """``ongoing``: calls per replica. ``latency_seconds``: of a call; None where it does not matter."""

    ongoing: float
    latency_seconds: float | None = None


def wanted_replicas(load: Load, targets: Targets, *, at_least: int, at_most: int) -> int:
    """As many as the queue asks for at once; one fewer at a time, and only where the rest has room for all.

    Slow answers ask for more only while every replica is busy: an idle one would not make them faster. What was asked
    for already is waited for first.
    """
    by_queue = load.ongoing / targets.ongoing
    slowness = load.latency_seconds / targets.latency_seconds if targets.latency_seconds else 0.0
    wanted = load.target
    if by_queue > load.target:
        wanted = math.ceil(by_queue)
    elif slowness > 1 and load.ongoing >= load.running >= load.target:
        wanted = math.ceil(load.running * min(slowness, LARGEST_STEP))
    elif by_queue <= SLACK * (load.target - 1) and slowness <= SLACK:
        wanted = load.target - 1
    return max(at_least, min(at_most, wanted))


class RecentMean:
    """The mean of what was added lately: what is ``half_life_seconds`` old counts half."""

    def __init__(self, half_life_seconds: float = 5.0) -> None:
        self._half_life_seconds = half_life_seconds
        self._sum = self._weight = self._at = 0.0

    def add(self, value: float, *, now: float) -> None:
        """``now``: seconds of a clock that never goes back."""
        self._age(now)
        self._sum += value
        self._weight += 1.0

    def value(self, *, now: float) -> float:
        """0 once everything is long ago."""
        self._age(now)
        return self._sum / self._weight if self._weight >= 0.1 else 0.0

    def _age(self, now: float) -> None:
        kept = 0.5 ** ((now - self._at) / self._half_life_seconds)
        self._sum, self._weight, self._at = self._sum * kept, self._weight * kept, now
