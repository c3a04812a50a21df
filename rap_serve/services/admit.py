"""How many requests go on at once, who goes next, and who is told at once to come again later."""

import asyncio
import contextlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from rap_serve.domain.errors import ClusterFull, Overloaded, OverShare
from rap_serve.domain.fairness import FairLine, Waiting, foreseen_wait
from rap_serve.domain.pace import Pace

LaneName: TypeAlias = Literal["models", "memory"]
Reason: TypeAlias = Literal["over_share", "full"]

FIRST_GUESS_SECONDS = 0.5
"""What a slot is held for, as long as nobody knows better."""

Turn: TypeAlias = "tuple[Work, asyncio.Future[None]]"
"""Somebody's work, and what is done when it may begin."""

KEPT_SHARE = 8
"""At most one slot in so many is kept for tenants that hold none, so that they need not wait for one."""

LATELY_SECONDS = 10.0
"""For so long a tenant that has asked counts as one that may ask again."""

_LEARNING = 0.1
_LEAST_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Work:
    """What a request is expected to take. ``kind``: requests that take about the same. ``slots``: held at once."""

    lane: LaneName
    kind: str
    slots: int = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not let in. ``retry_in``: seconds until it would be, as things stand."""

    reason: Reason
    retry_in: float

    def error(self) -> Overloaded:
        """What to tell who was refused."""
        when = f"try again in {math.ceil(self.retry_in)} s."
        if self.reason == "over_share":
            return OverShare(f"More is under way for this tenant than its share while others wait; {when}")
        return ClusterFull(f"The service is busy and could not answer in time; {when}")


class LaneMetrics(Protocol):
    """Where admissions are counted."""

    def admitted(self, *, lane: str, waited_seconds: float) -> None: ...
    def rejected(self, *, lane: str, reason: str) -> None: ...
    def lane(self, *, lane: str, waiting: int, under_way: int, slots: int) -> None: ...


class Slot:
    """What a request holds while it is under way."""

    def __init__(self, began: Callable[[float], None]) -> None:
        self._began = began
        self._since = time.monotonic()

    def answering(self) -> None:
        """The first of the answer is there."""
        self._began(time.monotonic() - self._since)


class Lane:
    """A number of slots, and a fair line before them. A request costs the seconds for which it holds its slots.

    What that will be is guessed from others of its kind when it comes, and settled when it ends. Who holds its part
    already leaves the last free slots to others who might come and hold none, and takes slots one by one at the pace
    at which they become free: what began together would end together, and keep others waiting until then.
    """

    def __init__(
        self,
        name: LaneName,
        *,
        pace: Pace,
        places: int,
        wait_seconds: float,
        weight: Callable[[str], float],
        metrics: LaneMetrics,
    ) -> None:
        """``places``: how many may wait; ``wait_seconds``: for how long, as far as that can be foreseen."""
        self.name = name
        self._pace = pace
        self._wait_seconds = wait_seconds
        self._weight = weight
        self._metrics = metrics
        self._line: FairLine[Turn] = FairLine(bound=places)
        self._under_way: dict[Waiting[Turn], float] = {}  # since when
        self._seconds: defaultdict[str, float] = defaultdict(lambda: FIRST_GUESS_SECONDS)
        self._asked: dict[str, float] = {}
        self._next_over = 0.0
        self._alarm: asyncio.TimerHandle | None = None

    def refusal(self, tenant: str, work: Work) -> Refusal | None:
        """Why the tenant's request cannot be let in now; None where it can, and then ``slot`` must follow at once."""
        if not len(self._line) and self._fits(work):
            return None
        weight = self._weight(tenant)
        wait = self._foreseen(self._line.ahead(tenant, weight), work)
        if wait <= self._wait_seconds and self._line.has_room(tenant):
            return None
        reason: Reason = "over_share" if self._over_share(tenant, weight, work) else "full"
        self._metrics.rejected(lane=self.name, reason=reason)
        return Refusal(reason, max(_LEAST_RETRY_SECONDS, wait - self._wait_seconds))

    @contextlib.asynccontextmanager
    async def slot(self, tenant: str, work: Work) -> AsyncIterator[Slot]:
        """Waits for the tenant's turn, and holds the slot until the end, whichever way it comes."""
        turn = asyncio.get_running_loop().create_future()
        waiting = Waiting(tenant, self._weight(tenant), self._cost(work), (work, turn))
        came = self._asked[tenant] = time.monotonic()
        self._line.put(waiting)
        self._go_on()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._line.drop(waiting)
            else:
                self._free(waiting, 0.0)
            self._go_on()
            raise
        began = time.monotonic()
        self._metrics.admitted(lane=self.name, waited_seconds=began - came)
        try:
            yield Slot(self._pace.began)
        finally:
            seconds = time.monotonic() - began
            self._seconds[work.kind] += _LEARNING * (seconds - self._seconds[work.kind])
            self._free(waiting, seconds * work.slots)
            self._go_on()

    def report(self) -> None:
        """Says how things stand; to be called now and then."""
        self._asked = self._asked_lately()
        under_way, waiting = len(self._under_way), len(self._line)
        self._metrics.lane(lane=self.name, waiting=waiting, under_way=under_way, slots=self._pace.slots)

    def _go_on(self) -> None:
        """Lets in whoever is next for as long as there are slots."""
        while (head := self._next()) is not None:
            self._line.take(head)
            self._under_way[head] = time.monotonic()
            head.item[1].set_result(None)

    def _next(self) -> Waiting[Turn] | None:
        """The first in the order of turns, or behind those that leave what is free to others, the first that may."""
        heads = self._line.heads()
        if not heads:
            return None
        lately, held = {*self._asked_lately(), *(head.tenant for head in heads)}, self._held_by_tenant()
        over, without = self._over_part(heads, lately, held), len(lately - held.keys())
        for head in heads:
            work, turn = head.item
            if turn.cancelled():
                self._line.drop(head)
                return self._next()
            if head in over and self._kept_from(work, without):
                continue
            if not self._fits(work):
                self._pace.needed()
                return None
            if head in over:
                self._next_over = time.monotonic() + head.cost / self._pace.slots
            return head
        return None

    def _fits(self, work: Work) -> bool:
        """Into what is free. What is wider than all slots together goes alone."""
        held = self._held()
        return held == 0 or held + work.slots <= self._pace.slots

    def _kept_from(self, work: Work, without: int) -> bool:
        """Whether what is free is kept from who holds its part, altogether or until the pace allows it.

        ``without``: how many who might ask hold nothing.
        """
        slots, early = self._pace.slots, self._next_over - time.monotonic()
        if early > 0 and self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(early, self._wake)
        return early > 0 or self._held() + work.slots > slots - min(without, slots // KEPT_SHARE)

    def _wake(self) -> None:
        self._alarm = None
        self._go_on()

    def _over_part(
        self, heads: Sequence[Waiting[Turn]], lately: Set[str], held: Mapping[str, int]
    ) -> set[Waiting[Turn]]:
        """Those whose tenants, with them, hold more than their part, where there are others who might come.

        ``lately``: who has asked; ``held``: slots by tenant.
        """
        each = self._pace.slots / sum(self._weight(tenant) for tenant in lately)
        return {
            head
            for head in heads
            if len(lately) > 1 and (has := held.get(head.tenant, 0)) and has + head.item[0].slots > each * head.weight
        }

    def _held_by_tenant(self) -> Counter[str]:
        held: Counter[str] = Counter()
        for other in self._under_way:
            held[other.tenant] += other.item[0].slots
        return held

    def _held(self) -> int:
        """Slots in use."""
        return sum(waiting.item[0].slots for waiting in self._under_way)

    def _asked_lately(self) -> dict[str, float]:
        """When tenants asked last, those of whom nothing was heard for long left out."""
        now = time.monotonic()
        return {tenant: at for tenant, at in self._asked.items() if now - at < LATELY_SECONDS}

    def _free(self, waiting: Waiting[Turn], cost: float) -> None:
        del self._under_way[waiting]
        self._line.settle(waiting, cost)

    def _foreseen(self, ahead: float, work: Work) -> float:
        """Seconds until ``work`` begins. What was let in together becomes free together: averages would not know."""
        now, frees, held = time.monotonic(), [0.0] * self._pace.slots, [self._seconds[work.kind]]
        for other, since in self._under_way.items():
            slots = other.item[0].slots
            seconds = other.cost / slots
            frees += [max(0.0, since + seconds - now)] * slots
            held.append(seconds)
        latest = sorted(frees)[-self._pace.slots :]
        return foreseen_wait(latest, ahead=ahead, held=sum(held) / len(held), slots=min(work.slots, self._pace.slots))

    def _cost(self, work: Work) -> float:
        return self._seconds[work.kind] * work.slots

    def _over_share(self, tenant: str, weight: float, work: Work) -> bool:
        """Whether the tenant, with this request, has more than its part of all that is under way and waits."""
        amounts = defaultdict(float, self._line.backlogs())
        for other in self._under_way:
            amounts[other.tenant] += other.cost
        amounts[tenant] += self._cost(work)
        part = weight / sum(self._weight(t) for t in amounts)
        return len(amounts) > 1 and amounts[tenant] > part * sum(amounts.values())


class Admit:
    """The lanes, each for what needs the same."""

    def __init__(self, *lanes: Lane, report_seconds: float = 1.0) -> None:
        self._lanes = {lane.name: lane for lane in lanes}
        self._report_seconds = report_seconds

    def refusal(self, tenant: str, work: Work) -> Refusal | None:
        """See Lane."""
        return self._lanes[work.lane].refusal(tenant, work)

    def slot(self, tenant: str, work: Work) -> contextlib.AbstractAsyncContextManager[Slot]:
        """See Lane."""
        return self._lanes[work.lane].slot(tenant, work)

    async def watch(self) -> None:
        """Keeps reporting; for ever."""
        while True:
            await asyncio.sleep(self._report_seconds)
            for lane in self._lanes.values():
                lane.report()
