"""From what a service spends at low load to what it can do at saturation, and what memory it then takes.

A request's processor time in one kind of process has a part of its own and a part that it shares with those that the
engine answers at the same time: a step of the engine, a poll. Two low loads tell the two apart. Times are told in
pieces of fixed work, as a core is slower while its neighbours work. Memory grows by so much a concept and by so much a
picture. Nothing here knows what is foretold.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Machine:
    """``piece``: processor seconds of a piece of fixed work where all cores work."""

    cores: int
    piece: float = 1.0


@dataclass(frozen=True, slots=True)
class Spell:
    """Some time of a service. ``cpu_seconds``: by kind of process; ``others_cores``: what all else took, on average.

    ``in_engine``: the part of its time that a request spends in the engine. ``piece``: processor seconds of a piece of
    fixed work meanwhile.
    """

    under_way: float
    requests: int
    seconds: float
    cpu_seconds: Mapping[str, float]
    in_engine: float = 1.0
    others_cores: float = 0.0
    piece: float = 1.0

    @property
    def cores(self) -> float:
        """What the service and its clients took, on average."""
        return sum(self.cpu_seconds.values()) / self.seconds

    @property
    def company(self) -> float:
        """How many the engine answers at the same time, seen from one that it answers."""
        return company(self.under_way, self.in_engine)

    def beyond(self, rest: "Spell") -> dict[str, float]:
        """Processor seconds of a request, by kind of process, beyond what is spent at rest."""
        at_rest = {name: seconds / rest.seconds for name, seconds in rest.cpu_seconds.items()}
        spent = self.cpu_seconds.items()
        return {name: (s - at_rest.get(name, 0.0) * self.seconds) / max(1, self.requests) for name, s in spent}


def company(under_way: float, in_engine: float) -> float:
    """One, and of all others the part that is in the engine."""
    return 1 + (under_way - 1) * in_engine


@dataclass(frozen=True, slots=True)
class Cost:
    """Pieces of work that a request is in one kind of process."""

    own: float
    shared: float

    def at(self, company: float) -> float:
        """Where the engine answers so many."""
        return self.own + self.shared / company


def costs(rest: Spell, few: Spell, some: Spell) -> dict[str, Cost]:
    """By kind of process. ``few`` and ``some``: low loads, with more under way in the second."""
    one, more = ({n: max(0.0, s / spell.piece) for n, s in spell.beyond(rest).items()} for spell in (few, some))
    return {name: _split(one.get(name, 0.0), few.company, more[name], some.company) for name in more}


def _split(one: float, company: float, more: float, more_company: float) -> Cost:
    """What two low loads say; where a request cost no less in more company, nothing is shared."""
    shared = (one - more) / (1 / company - 1 / more_company)
    if shared <= 0:
        return Cost((one + more) / 2, 0.0)
    own = more - shared / more_company
    return Cost(own, shared) if own > 0 else Cost(0.0, more * more_company)


def seconds_per_request(known: Mapping[str, Cost], machine: Machine, company: float) -> dict[str, float]:
    """Processor seconds by kind of process where all cores work."""
    return {name: machine.piece * cost.at(company) for name, cost in known.items()}


def requests_per_second(spent: Mapping[str, float], machine: Machine, *, rest: Spell, others_cores: float) -> float:
    """At saturation: what the cores have to give, and no more than the busiest process does on one core."""
    left = machine.cores - others_cores - rest.cores
    return min(left / sum(spent.values()), 1 / max(spent.values()))


@dataclass(frozen=True, slots=True)
class Footprint:
    """A service's memory in bytes, by kind of process, when it held so many concepts and had seen so many pictures."""

    concepts: int
    pictures: int
    bytes_of: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of all processes."""
        return sum(self.bytes_of.values())


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes that the whole service grows by."""

    per_concept: float
    per_picture: float

    @classmethod
    def between(cls, fewer: Footprint, more: Footprint, seen: Footprint) -> "Growth":
        """``fewer`` to ``more`` concepts; ``more`` to ``seen`` pictures. What shrinks is taken for no growth."""
        per_concept = (more.total - fewer.total) / (more.concepts - fewer.concepts)
        per_picture = (seen.total - more.total) / (seen.pictures - more.pictures)
        return cls(max(0.0, per_concept), max(0.0, per_picture))

    def beyond(self, known: Footprint, *, concepts: int, pictures: float) -> float:
        """Bytes of all processes with so many more."""
        return known.total + self.per_concept * concepts + self.per_picture * pictures
