"""What a load test does over time: how many arrivals or clients, of which acts, for how long."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Loop: TypeAlias = Literal["open", "closed"]
Act: TypeAlias = Literal[
    "stream known picture",
    "stream new picture",
    "plain known picture",
    "text question",
    "retrieve",
    "enrol",
    "edit",
    "delete",
    "list",
    "disconnect",
]

MIX: Mapping[Act, float] = {
    "stream known picture": 30,
    "stream new picture": 18,
    "plain known picture": 8,
    "text question": 14,
    "retrieve": 13,
    "enrol": 3,
    "edit": 4,
    "delete": 3,
    "list": 4,
    "disconnect": 3,
}
"""In percent. As many concepts come as go, so that libraries keep their size however long it lasts."""

SATURATION_CLIENTS = (1, 2, 4, 8, 16, 32)
STEPS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
OVERLOAD = 3.0
SOAK_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Stage:
    """``level``: clients at once in a closed loop, multiples of the rate in an open one."""

    name: str
    seconds: float
    level: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A load test. ``rate``: arrivals per second at level 1, Poisson; only in an open loop.

    ``warm_up_seconds``: what is left out when the end is compared with the beginning.
    """

    name: str
    loop: Loop
    stages: tuple[Stage, ...]
    rate: float = 0.0
    warm_up_seconds: float = 0.0
    mix: Mapping[str, float] = field(default_factory=lambda: dict(MIX))

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    def stage_at(self, seconds: float) -> Stage | None:
        """Which stage that is; None after the last."""
        for stage in self.stages:
            if seconds < stage.seconds:
                return stage
            seconds -= stage.seconds
        return None

    def json(self) -> dict[str, Any]:
        """For the generator, and for the report."""
        return asdict(self)

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Scenario":
        """The inverse of ``json``."""
        return cls(**{**raw, "stages": tuple(Stage(**s) for s in raw["stages"])})


def mixed(seconds: float, rate: float) -> Scenario:
    """Arrivals at a constant rate."""
    return Scenario(name="mixed", loop="open", stages=(Stage("steady", seconds, 1),), rate=rate, warm_up_seconds=30)


def crowd(seconds: float, clients: int) -> Scenario:
    """So many clients, each with the next thing as soon as it has its answer."""
    stage = Stage(f"{clients} clients", seconds, clients)
    return Scenario(name="mixed", loop="closed", stages=(stage,), warm_up_seconds=30)


def soak(seconds: float, rate: float) -> Scenario:
    """Long and even: what grows or slows down shows. The first quarter minute by minute still warms up."""
    stage = Stage("steady", seconds, 1)
    return Scenario(name="soak", loop="open", stages=(stage,), rate=rate, warm_up_seconds=min(180.0, seconds / 5))


def ramp(seconds: float, rate: float) -> Scenario:
    """In steps from a quarter of the rate to one and a half times of it."""
    stages = tuple(Stage(f"{step:.0%}", seconds / len(STEPS), step) for step in STEPS)
    return Scenario(name="ramp", loop="open", stages=stages, rate=rate)


def overload(seconds: float, rate: float) -> Scenario:
    """Below saturation, three times of it, and below again. ``rate``: that of saturation."""
    calm, loud = seconds / 4, seconds / 2
    stages = (Stage("before", calm, SOAK_SHARE), Stage("overload", loud, OVERLOAD), Stage("after", calm, SOAK_SHARE))
    return Scenario(name="overload", loop="open", stages=stages, rate=rate)


def saturation(seconds: float) -> Scenario:
    """More and more clients at once; where more of them get no more done, it is saturated."""
    each = seconds / len(SATURATION_CLIENTS)
    stages = tuple(Stage(f"{n} clients", each, n) for n in SATURATION_CLIENTS)
    return Scenario(name="saturation", loop="closed", stages=stages)
