"""Who goes next where not all can go at once: start-time fair queueing across tenants.

Time here is virtual: what a tenant is served moves its own clock on by cost over weight, and whoever's clock is
furthest behind goes next. Who comes back after a pause starts from where the line is: nobody saves up for later.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from rap_serve.domain.errors import InvalidInput

ROUNDING = 1e-9

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[T]):
    """Something in the line. ``cost``: what it is expected to take, in the line's own unit."""

    tenant: str
    weight: float
    cost: float
    item: T


@dataclass(slots=True)
class _Account(Generic[T]):
    """``start``: the virtual time at which the first of ``waiting`` may start."""

    start: float
    weight: float
    waiting: deque[Waiting[T]] = field(default_factory=deque)
    backlog: float = 0.0


class FairLine(Generic[T]):
    """A bounded line in which each tenant waits behind its own.

    Over any time in which two tenants both wait, what each is served, over its weight, differs by no more than one
    request of each.
    """

    def __init__(self, *, bound: int) -> None:
        """``bound``: how many may wait in all."""
        if bound < 1:
            raise InvalidInput("A line has room for at least one.")
        self._bound = bound
        self._accounts: dict[str, _Account[T]] = {}
        self._length = 0
        self._now = 0.0

    def __len__(self) -> int:
        return self._length

    def waits(self, tenant: str) -> int:
        """How many of a tenant's wait."""
        account = self._accounts.get(tenant)
        return len(account.waiting) if account else 0

    def backlogs(self) -> dict[str, float]:
        """The waiting cost of each tenant that waits."""
        return {t: a.backlog for t, a in self._accounts.items() if a.waiting}

    def has_room(self, tenant: str) -> bool:
        """Whether one more of a tenant's may wait: as many as there are places left for all others.

        So one tenant alone fills half of the line, two fill two thirds, and a newcomer always finds a place.
        """
        return self.waits(tenant) < self._bound - self._length

    def ahead(self, tenant: str, weight: float) -> float:
        """What would be served before a request that the tenant adds now, by cost."""
        account = self._accounts.get(tenant) or _Account(self._now, weight)
        start = max(account.start, self._now) + account.backlog / weight
        others = (a for t, a in self._accounts.items() if t != tenant and a.waiting)
        return account.backlog + sum(min(a.backlog, max(0.0, start - a.start) * a.weight) for a in others)

    def put(self, waiting: Waiting[T]) -> None:
        """Adds to the end of its tenant's own. Whether there is room is for the caller to ask."""
        account = self._accounts.setdefault(waiting.tenant, _Account(self._now, waiting.weight))
        if not account.waiting:
            account.start = max(account.start, self._now)
        account.weight = waiting.weight
        account.waiting.append(waiting)
        account.backlog += waiting.cost
        self._length += 1

    def heads(self) -> list[Waiting[T]]:
        """The first of each tenant's own, whoever goes next first."""
        active = [a for a in self._accounts.values() if a.waiting]
        return [a.waiting[0] for a in sorted(active, key=lambda a: a.start)]

    def take(self, head: Waiting[T]) -> None:
        """One of the heads goes: out of the line and charged to its tenant."""
        account = self._accounts[head.tenant]
        self._now = max(self._now, account.start)
        account.start += head.cost / head.weight
        self.drop(head)

    def drop(self, waiting: Waiting[T]) -> None:
        """Takes one out that will not go, uncharged; one that is out already is left alone."""
        account = self._accounts.get(waiting.tenant)
        if account is None or waiting not in account.waiting:
            return
        account.waiting.remove(waiting)
        account.backlog = max(0.0, account.backlog - waiting.cost) if account.waiting else 0.0
        self._length -= 1
        if self._length == 0:
            self._accounts.clear()  # all have what they asked for, so nobody is ahead of anybody

    def settle(self, waiting: Waiting[T], cost: float) -> None:
        """What one that was taken has cost in the end; its tenant's clock is put right by the difference.

        Never to before the line's own: guesses that were too high would let it pass all who come.
        """
        account = self._accounts.get(waiting.tenant)
        if account is not None:
            account.start = max(self._now, account.start + (cost - waiting.cost) / waiting.weight)
            self._forget()

    def _forget(self) -> None:
        """Who neither waits nor is ahead of the line is as if it had never come."""
        gone = [t for t, a in self._accounts.items() if not a.waiting and a.start <= self._now]
        for tenant in gone:
            del self._accounts[tenant]


def foreseen_wait(free_in: Iterable[float], *, ahead: float, held: float, slots: int = 1) -> float:
    """Seconds until somebody has so many slots.

    ``free_in``: seconds until each slot there is becomes free; ``ahead``: what goes before, in seconds of one slot;
    ``held``: seconds for which one of that holds a slot.
    """
    frees = list(free_in)
    heapq.heapify(frees)
    for _ in range(math.ceil(ahead / held - ROUNDING)):
        heapq.heapreplace(frees, frees[0] + held)
    return heapq.nsmallest(slots, frees)[-1]
