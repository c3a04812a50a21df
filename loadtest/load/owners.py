"""Whose memory is used, what is known to be in it, and what answers may therefore say.

Everything here grows with the number of owners, never with the length of a run.
"""

import random
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rap_serve.cli.scoring import handles_in
from rap_serve.cli.wire import EvidenceJson

ZIPF_EXPONENT = 1.1
FEWEST, MOST = 2, 8
"""Concepts of an owner; whoever has the most deletes one, whoever has the fewest makes one."""

REMEMBERED_GONE = 64


@dataclass(slots=True)
class Held:
    """An acknowledged concept. ``thing``: which of the drawn things it is; ``leaving``: its deletion was sent."""

    id: str
    name: str
    thing: int
    version: int
    info: str
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was acknowledged when a request was sent: version by name, and names deleted by then."""

    versions: Mapping[str, tuple[str, int]]
    gone: frozenset[str]


@dataclass(slots=True, eq=False)
class Owner:
    """One user of one tenant. Names begin with ``tag``, which no other owner's do.

    ``writing``: a write is under way; the next one waits for its turn, so that what must be read back is known.
    """

    tag: str
    user: str
    key: str = field(repr=False)
    first_thing: int
    held: dict[str, Held] = field(default_factory=dict)
    gone: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_GONE))
    made: int = 0
    writing: bool = False

    def next_name(self) -> str:
        """A name that was never given before."""
        self.made += 1
        return f"{self.tag}-{self.made}"

    def snapshot(self) -> Snapshot:
        """What is acknowledged now."""
        return Snapshot({h.name: (h.id, h.version) for h in self.held.values()}, frozenset(self.gone))

    def forget(self, name: str) -> None:
        """Its deletion is acknowledged."""
        del self.held[name]
        self.gone.append(name)


def violations(owner: Owner, sent: Snapshot, evidence: Iterable[EvidenceJson], text: str = "") -> list[str]:
    """What is wrong with an answer: another owner's concepts, versions of before, or deleted things."""
    found = []
    for item in evidence:
        name = item["name"]
        known_id, known_version = sent.versions.get(name, (item["concept_id"], 0))
        if not name.startswith(f"{owner.tag}-") or item["concept_id"] != known_id:
            found.append("foreign evidence")
        elif name in sent.gone:
            found.append("deleted concept in evidence")
        elif item["version"] < known_version:
            found.append("stale version in evidence")
    found += ["foreign name in answer" for name in handles_in(text) if not name.startswith(f"{owner.tag}-")]
    return found


def zipf(count: int, exponent: float = ZIPF_EXPONENT) -> list[float]:
    """Weights of the first, second, third and so on."""
    return [rank**-exponent for rank in range(1, count + 1)]


class Crowd:
    """All owners, the busy ones more often: Zipf over tenants, and over the users of each."""

    def __init__(self, tenants: Sequence[Sequence[Owner]]) -> None:
        self.owners = [owner for users in tenants for owner in users]
        shares = zipf(len(tenants))
        self._weights = [
            share * weight / sum(zipf(len(users)))
            for share, users in zip(shares, tenants, strict=True)
            for weight in zipf(len(users))
        ]

    def pick(self, rng: random.Random) -> Owner:
        """Whoever asks next."""
        return rng.choices(self.owners, self._weights)[0]
