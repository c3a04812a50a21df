"""Which replica a request goes to."""

from collections import Counter

import pytest

from rap_serve.domain.routing import LoadBound, preferences, ranked

REPLICAS = [f"replica-{n}" for n in range(4)]
KEYS = [f"owner-{n}" for n in range(4_000)]
IDLE = dict.fromkeys(REPLICAS, 0)


def test_owners_are_spread_evenly() -> None:
    """Each replica is the first choice of a quarter."""
    first = Counter(ranked(key, IDLE, LoadBound())[0] for key in KEYS)
    assert all(abs(first[replica] - 1_000) < 120 for replica in REPLICAS)


def test_who_comes_takes_its_share_and_moves_nobody_else() -> None:
    """A fifth replica becomes the first choice of a fifth."""
    before = {key: preferences(key, REPLICAS)[0] for key in KEYS}
    after = {key: preferences(key, [*REPLICAS, "new"])[0] for key in KEYS}
    moved = [key for key in KEYS if before[key] != after[key]]
    assert {after[key] for key in moved} == {"new"}
    assert abs(len(moved) - 800) < 120


def test_who_goes_leaves_its_owners_to_their_second_choice() -> None:
    """All others stay, and the order in which replicas are listed does not matter."""
    for key in KEYS:
        order = preferences(key, REPLICAS)
        assert preferences(key, [r for r in reversed(REPLICAS) if r != order[0]]) == order[1:]


def test_a_hot_owner_spills_to_its_second_choice() -> None:
    """Always the same; and back, once there is room."""
    order = preferences("hot", REPLICAS)
    busy = {**IDLE, order[0]: 9}
    assert ranked("hot", busy, LoadBound(share=1.25, calm=4))[:2] == order[1:3]
    assert ranked("hot", {**busy, order[0]: 3}, LoadBound(share=1.25, calm=4))[0] == order[0]


def test_a_replica_with_little_to_do_is_not_full() -> None:
    """However little the others have."""
    order = preferences("key", REPLICAS)
    assert ranked("key", {**IDLE, order[0]: 3}, LoadBound(share=1.25, calm=4)) == order


def test_where_all_are_full_the_least_loaded_comes_first() -> None:
    """As where there is a single one."""
    loads = dict(zip(REPLICAS, (7, 5, 6, 8), strict=True))
    bound = LoadBound(share=0.1, calm=4)
    assert ranked("key", loads, bound) == ["replica-1", "replica-2", "replica-0", "replica-3"]
    assert ranked("key", {"only": 50}, LoadBound()) == ["only"]


@pytest.mark.parametrize("share", [1.1, 1.25, 2.0])
def test_no_replica_gets_more_than_the_bound(share: float) -> None:
    """One owner alone asks for everything, nothing ends."""
    loads, bound = dict(IDLE), LoadBound(share=share, calm=1)
    for number in range(1, 401):
        loads[ranked("hot", loads, bound)[0]] += 1
        assert max(loads.values()) <= share * number / len(loads) + 1
