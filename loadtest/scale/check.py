"""What a service that runs will do at saturation and with more concepts, foretold from low load, and then measured.

Foretold, before its condition begins, are the requests a second of 32 clients who each wait for an answer about a new
picture, and the memory of all processes of the service after that, with some thousands of concepts more. Low loads have
one and four clients; libraries have two sizes before they get the third.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from loadtest.bench import figures
from loadtest.scale.piece import together
from loadtest.scale.predict import (
    Footprint,
    Growth,
    Machine,
    Spell,
    company,
    costs,
    requests_per_second,
    seconds_per_request,
)
from loadtest.scale.running import Running

FEW, SOME, MANY = 1, 4, 32
"""Clients at the two low loads and at saturation."""

WARM_UP = 16
MB = 1e6

OTHERS_CORES = 0.2
"""From which what is foretold says little: others leave more or less to a service that asks for more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``concepts``: by what the libraries grow, two known steps and the one that is foretold."""

    home: Path
    profile: str = "local"
    seconds: float = 15.0
    pictures: int = 400
    concepts: tuple[int, int, int] = (1_000, 1_000, 4_000)


@dataclass(frozen=True, slots=True)
class Low:
    """What is known before anything is foretold."""

    machine: Machine
    rest: Spell
    few: Spell
    some: Spell
    footprints: tuple[Footprint, Footprint, Footprint]


@dataclass(frozen=True, slots=True)
class Foretold:
    """``seconds_of``: processor seconds of a request, by kind of process."""

    requests_per_second: float
    seconds_of: dict[str, float]
    bytes: float


def known(running: Running, user: str, plan: Plan) -> Low:
    """Rest, two low loads, two sizes of library."""
    warm, few, some = (running.drawn(n) for n in (WARM_UP, plan.pictures, plan.pictures))
    running.asked(user, warm, SOME)
    rest = running.rest()
    running.grow(plan.concepts[0])
    fewer = running.footprint()
    running.grow(plan.concepts[1])
    more = running.footprint()
    spells = running.asked(user, few, FEW), running.asked(user, some, SOME)
    footprints = fewer, more, running.footprint()
    cores = psutil.cpu_count() or 1
    return Low(Machine(cores, together(cores)), rest, *spells, footprints)


def foretold(low: Low, under_way: int, plan: Plan) -> Foretold:
    """At saturation, with more concepts."""
    within = company(under_way, low.some.in_engine)
    spent = seconds_per_request(costs(low.rest, low.few, low.some), low.machine, within)
    rate = _rate(low, spent, low.some.others_cores)
    growth = Growth.between(*low.footprints)
    grown = growth.beyond(low.footprints[-1], concepts=plan.concepts[2], pictures=rate * plan.seconds)
    return Foretold(rate, spent, grown)


def _rate(low: Low, spent: dict[str, float], others_cores: float) -> float:
    return requests_per_second(spent, low.machine, rest=low.rest, others_cores=others_cores)


def run(plan: Plan) -> dict[str, Any]:
    """Measures at low load, foretells, measures what was foretold; all of it as figures."""
    running = Running(plan.home, plan.profile, plan.seconds)
    began = running.processes()
    try:
        user = running.meet()
        low = known(running, user, plan)
        told = foretold(low, running.under_way(MANY), plan)
        pictures = running.drawn(plan.pictures)
        running.grow(plan.concepts[2])
        full = running.asked(user, pictures, MANY)
        after = running.footprint()
        ended = [name for pid, name in began.items() if pid not in running.processes()]
    finally:
        running.leave()
    void = [f"{name} ended" for name in ended] + [f"{running.failed} requests failed"] * bool(running.failed)
    others = max(low.some.others_cores, full.others_cores)
    void += [f"others took {others:.1f} cores"] * (others > OTHERS_CORES)
    return {
        "ran": {**figures.machine(), **asdict(plan), "home": str(plan.home)},
        "void": void,
        **compared(low, told, full, after),
        "low": asdict(low),
        "full": asdict(full),
        "after": asdict(after),
    }


def compared(low: Low, told: Foretold, full: Spell, after: Footprint) -> dict[str, Any]:
    """What was foretold beside what was found. Pieces of work: processor time as if cores were equally fast."""
    before, found = low.footprints[-1], full.beyond(low.rest)
    known_others = _rate(low, told.seconds_of, full.others_cores)
    told_ms, found_ms = (1e3 * sum(of.values()) for of in (told.seconds_of, found))
    return {
        "compared": {
            "requests a second": _pair(told.requests_per_second, full.requests / full.seconds),
            "the same, what others took known": _pair(known_others, full.requests / full.seconds),
            "processor ms a request": _pair(told_ms, found_ms),
            "pieces of work a request": _pair(1e-3 * told_ms / low.machine.piece, 1e-3 * found_ms / full.piece),
            "memory of all processes, MB": _pair(told.bytes / MB, after.total / MB),
            "of it grown meanwhile, MB": _pair((told.bytes - before.total) / MB, (after.total - before.total) / MB),
        },
        "processor_ms_by_process": {n: _pair(1e3 * told.seconds_of.get(n, 0.0), 1e3 * s) for n, s in found.items()},
    }


def _pair(predicted: float, measured: float) -> dict[str, float]:
    ratio = predicted / measured if measured else 0.0
    return {"predicted": round(predicted, 2), "measured": round(measured, 2), "ratio": round(ratio, 3)}
