"""Which replica of a model a request goes to, so that it meets there what it used before."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoadBound:
    """How much a replica may have to do before its requests go elsewhere.

    ``share``: of the mean load of all, more than 1. ``calm``: with less than this a replica is not busy, whatever the
    others do; about as many answers as it gives at once without slowing each of them down.
    """

    share: float = 1.5
    calm: int = 8

    def __call__(self, loads: Iterable[int]) -> float:
        """The load from which a replica is full, the next request counted in."""
        counted = list(loads)
        return max(self.calm, self.share * (sum(counted) + 1) / len(counted))


def preferences(key: str, replicas: Iterable[str]) -> list[str]:
    """All replicas, the first choice first, in the same order on every gateway.

    Rendezvous hashing (Thaler and Ravishankar, 1998): a replica that goes hands each of its keys to that key's next
    choice, one that comes takes only the keys that prefer it; all others stay where they are.
    """
    return sorted(replicas, key=lambda replica: _weight(key, replica), reverse=True)


def ranked(key: str, loads: Mapping[str, int], bound: LoadBound) -> list[str]:
    """The order in which to try replicas. ``loads``: requests under way on each, at least one replica.

    A key stays with its first choice; past the bound it goes to its second one, always the same, and so on. Full ones
    come last, the least loaded first.
    """
    limit = bound(loads.values())
    preferred = preferences(key, loads)
    free = [replica for replica in preferred if loads[replica] < limit]
    return free + sorted((r for r in preferred if loads[r] >= limit), key=loads.__getitem__)


def _weight(key: str, replica: str) -> bytes:
    return hashlib.blake2b(f"{key} {replica}".encode(), digest_size=8).digest()
