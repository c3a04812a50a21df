"""Slots, turns and refusals."""

import asyncio
import time
from collections import Counter

import pytest

from rap_serve.api.lanes import PICTURE_SLOTS, work_of
from rap_serve.domain.errors import ClusterFull, OverShare
from rap_serve.domain.pace import Pace
from rap_serve.services.admit import Admit, Lane, Work

CHAT = Work("models", "chat")
WIDE = Work("models", "chat with a picture", 2)


class Seen:
    """Metrics that are kept."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.reasons: Counter[str] = Counter()
        self.last: dict[str, int] = {}

    def admitted(self, *, lane: str, waited_seconds: float) -> None:
        self.waited.append(waited_seconds)

    def rejected(self, *, lane: str, reason: str) -> None:
        self.reasons[reason] += 1

    def lane(self, *, lane: str, waiting: int, under_way: int, slots: int) -> None:
        self.last = {"waiting": waiting, "under_way": under_way, "slots": slots}


class Door:
    """A lane with clients before it."""

    def __init__(self, *, slots: int, places: int = 64, wait_seconds: float = 60.0, **weights: int) -> None:
        self.seen = Seen()
        self.order: list[str] = []
        pace = Pace(least=1, most=slots, target_seconds=None)
        self.lane = Lane(
            "models",
            pace=pace,
            places=places,
            wait_seconds=wait_seconds,
            weight=lambda tenant: weights.get(tenant, 1),
            metrics=self.seen,
        )
        self.most = 0
        self._now = 0

    async def go(self, tenant: str, work: Work = CHAT, seconds: float = 0.005) -> None:
        """One request, from beginning to end."""
        async with self.lane.slot(tenant, work):
            self.order.append(tenant)
            self._now += work.slots
            self.most = max(self.most, self._now)
            try:
                await asyncio.sleep(seconds)
            finally:
                self._now -= work.slots

    def state(self) -> dict[str, int]:
        """How things stand."""
        self.lane.report()
        return self.seen.last


async def test_no_more_go_at_once_than_there_are_slots() -> None:
    """A wide one counts for two; all of them get through; nothing is left."""
    door = Door(slots=5)
    await asyncio.gather(*(door.go(f"t{n % 3}", WIDE if n % 2 else CHAT) for n in range(40)))
    assert 4 <= door.most <= 5 and len(door.order) == len(door.seen.waited) == 40
    assert door.state() == {"waiting": 0, "under_way": 0, "slots": 5}


async def test_what_is_wider_than_all_slots_goes_alone() -> None:
    """It would wait for ever otherwise."""
    door = Door(slots=1)
    await asyncio.wait_for(asyncio.gather(door.go("a", WIDE), door.go("b", WIDE), door.go("b")), 5)
    assert door.most == 2


async def test_a_crowd_lets_others_through() -> None:
    """Ten of one tenant's in line; the other's next one waits for one of them."""
    door = Door(slots=1)
    crowd = [asyncio.create_task(door.go("noisy")) for _ in range(10)]
    await asyncio.sleep(0.012)
    await door.go("quiet")
    assert len(door.order) <= 5
    await asyncio.gather(*crowd)


async def test_weights_are_shares() -> None:
    """Three to one."""
    door = Door(slots=1, heavy=3)
    tasks = [asyncio.create_task(door.go(t)) for t in ["heavy"] * 30 + ["light"] * 30]
    await asyncio.gather(*tasks)
    assert 13 <= Counter(door.order[:20])["heavy"] <= 17


async def test_who_holds_its_part_leaves_the_last_slots_to_others() -> None:
    """As long as there are others: they find a slot at once, and go before whoever was passed over."""
    door = Door(slots=8)
    await asyncio.gather(*(door.go("alone", seconds=0.01) for _ in range(9)))
    assert door.most == 8
    await door.go("quiet", seconds=0)
    crowd = [asyncio.create_task(door.go("alone", seconds=1)) for _ in range(9)]
    await asyncio.sleep(0)
    assert door.state()["under_way"] == 5, "its part at once, and one more"
    await asyncio.sleep(0.5)
    assert door.state()["under_way"] == 7, "the others at the pace at which slots become free"
    await asyncio.wait_for(door.go("quiet", seconds=0), 0.4)
    await asyncio.gather(*crowd)
    assert door.state() == {"waiting": 0, "under_way": 0, "slots": 8}


async def test_a_first_request_is_never_kept_from_a_slot() -> None:
    """However many tenants there are, and however small the part of each."""
    door = Door(slots=8)
    crowd = [asyncio.create_task(door.go(f"t{n}", seconds=0.02)) for n in range(20)]
    await asyncio.sleep(0.01)
    assert door.state()["under_way"] == 8
    await asyncio.gather(*crowd)


@pytest.mark.parametrize("how", ["error", "gone while under way", "gone while waiting", "gone as its turn came"])
async def test_a_slot_is_free_again_however_it_ends(how: str) -> None:
    """An error, or a client that went away at any moment."""
    door = Door(slots=1)

    async def fails() -> None:
        async with door.lane.slot("a", CHAT):
            raise ValueError("broken")

    if how == "error":
        with pytest.raises(ValueError, match="broken"):
            await fails()
    else:
        first = asyncio.create_task(door.go("a", seconds=60))
        second = asyncio.create_task(door.go("b", seconds=60))
        await asyncio.sleep(0.01)
        if how == "gone while waiting":
            second.cancel()
            await asyncio.sleep(0)
            assert door.state()["waiting"] == 0
        first.cancel()
        if how == "gone as its turn came":
            await asyncio.sleep(0)
            second.cancel()
        await asyncio.sleep(0.01)
        second.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
    assert door.state() == {"waiting": 0, "under_way": 0, "slots": 1}
    await asyncio.wait_for(door.go("c"), 1)


async def test_who_would_wait_too_long_is_told_at_once_and_when_to_come_again() -> None:
    """429 for who has more than its share, 503 for who is alone; others still get in."""
    door = Door(slots=2, wait_seconds=1.2)
    tasks = [asyncio.create_task(door.go("noisy", seconds=0.2)) for _ in range(5)]
    await asyncio.sleep(0.01)
    alone = door.lane.refusal("noisy", WIDE)
    assert alone is not None and alone.reason == "full" and isinstance(alone.error(), ClusterFull)
    tasks.append(asyncio.create_task(door.go("quiet", seconds=0.2)))
    await asyncio.sleep(0.01)
    assert door.lane.refusal("quiet", CHAT) is None
    refused = door.lane.refusal("noisy", WIDE)
    assert refused is not None and refused.reason == "over_share" and isinstance(refused.error(), OverShare)
    assert refused.retry_in >= 1 and "try again in 1 s" in str(refused.error())
    assert door.seen.reasons == {"full": 1, "over_share": 1}
    await asyncio.gather(*tasks)


async def test_retry_after_follows_from_how_fast_the_line_moves() -> None:
    """The same line behind fewer slots, or of slower requests, takes longer."""
    waits = {}
    for slots in (1, 4):
        door = Door(slots=slots, wait_seconds=0.1)
        crowd = [asyncio.create_task(door.go("a", seconds=60)) for _ in range(slots + 20)]
        await asyncio.sleep(0.01)
        refused = door.lane.refusal("a", CHAT)
        assert refused is not None
        waits[slots] = refused.retry_in
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)
    for slots, retry_in in waits.items():
        assert retry_in == pytest.approx((20 / slots + 1) * 0.5 - 0.1, abs=0.05)


async def test_slots_that_were_taken_together_are_known_to_become_free_together() -> None:
    """A slot that frees soon is worth waiting for; with the same number under way, ones just taken are not."""
    door = Door(slots=8, wait_seconds=0.3)
    crowd = [asyncio.create_task(door.go("a", seconds=60)) for _ in range(8)]
    await asyncio.sleep(0.01)
    assert door.lane.refusal("b", CHAT) is not None
    await asyncio.sleep(0.25)
    assert door.lane.refusal("b", CHAT) is None
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_the_line_is_bounded() -> None:
    """However long one would be willing to wait."""
    door = Door(slots=1, places=6, wait_seconds=1e9)
    crowd = []
    for tenant in ("a", "b", "c", "d"):
        while door.lane.refusal(tenant, CHAT) is None:
            crowd.append(asyncio.create_task(door.go(tenant, seconds=60)))
            await asyncio.sleep(0)
    assert door.state()["waiting"] <= 6
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)


async def test_lanes_do_not_wait_for_each_other() -> None:
    """A read passes a line of chats."""
    seen = Seen()

    def lane(name: str) -> Lane:
        pace = Pace(least=1, most=1, target_seconds=None)
        return Lane(name, pace=pace, places=9, wait_seconds=60, weight=lambda _: 1, metrics=seen)  # type: ignore[arg-type]

    admit = Admit(lane("models"), lane("memory"), report_seconds=0.01)
    reporting = asyncio.create_task(admit.watch())
    async with admit.slot("t", CHAT):
        began = time.monotonic()
        async with admit.slot("t", Work("memory", "read")):
            assert time.monotonic() - began < 0.5
        await asyncio.sleep(0.03)
    reporting.cancel()
    assert seen.last["slots"] == 1


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/docs", "/admin/v1/tenants", "/v1/jobs/x"])
def test_probes_administration_and_jobs_never_wait(path: str) -> None:
    """Whatever is going on."""
    assert work_of("GET", path, None) is None and work_of("POST", path, "9999999") is None


@pytest.mark.parametrize(
    ("method", "path", "size", "expected"),
    [
        ("POST", "/v1/chat/completions", "300", Work("models", "chat")),
        ("POST", "/v1/chat/completions", "30000", Work("models", "chat with a picture", PICTURE_SLOTS)),
        ("POST", "/v1/chat/completions", None, Work("models", "chat with a picture", PICTURE_SLOTS)),
        ("POST", "/v1/users/ann/retrieve", "30000", Work("models", "retrieve")),
        ("POST", "/v1/users/ann/concepts", "30000", Work("models", "remember")),
        ("PATCH", "/v1/users/ann/concepts/x", "30000", Work("models", "remember")),
        ("PATCH", "/v1/users/ann/concepts/x", "20", Work("memory", "write")),
        ("GET", "/v1/users/ann/concepts", None, Work("memory", "read")),
        ("DELETE", "/v1/users/ann", None, Work("memory", "write")),
        ("POST", "/v1/users/ann/concepts:import", "9999999", Work("memory", "write")),
    ],
)
def test_work_is_told_by_what_can_be_seen_of_it(method: str, path: str, size: str | None, expected: Work) -> None:
    """Before the body is read."""
    assert work_of(method, path, size) == expected
