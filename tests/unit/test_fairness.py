"""Who goes next."""

from collections import Counter, defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.fairness import FairLine, Waiting, foreseen_wait

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""What is tried is what comes out, not how busy the machine is."""

TENANTS = ("a", "b", "c", "d")
Asked = tuple[str, float]

costs = st.floats(min_value=0.1, max_value=10)
weights = st.fixed_dictionaries({t: st.integers(1, 8) for t in TENANTS})
asked = st.lists(st.tuples(st.sampled_from(TENANTS), costs), max_size=60)


def waiting(tenant: str, cost: float, weight: float = 1) -> Waiting[int]:
    """One in the line."""
    return Waiting(tenant, weight, cost, 0)


def filled(requests: list[Asked], weight: dict[str, int]) -> FairLine[int]:
    """A line in which all of these wait."""
    line = FairLine[int](bound=1_000)
    for tenant, cost in requests:
        line.put(waiting(tenant, cost, weight[tenant]))
    return line


def took(line: FairLine[int]) -> Waiting[int]:
    """Whoever goes next, gone."""
    head = line.heads()[0]
    line.take(head)
    return head


@patient
@given(asked, weights)
def test_everybody_goes_and_each_tenants_own_in_order(requests: list[Asked], weight: dict[str, int]) -> None:
    """Work-conserving: as long as somebody waits there is a next; nobody is passed over for ever."""
    line = filled(requests, weight)
    taken = [took(line) for _ in requests]
    assert not line.heads() and len(line) == 0
    for tenant in TENANTS:
        assert [w.cost for w in taken if w.tenant == tenant] == [c for t, c in requests if t == tenant]


@patient
@given(asked, weights)
def test_shares_follow_weights_while_tenants_wait(requests: list[Asked], weight: dict[str, int]) -> None:
    """What two tenants that both wait were served, over weight, differs by at most one request of each."""
    line = filled(requests, weight)
    served: defaultdict[str, float] = defaultdict(float)
    largest = {t: max((c for x, c in requests if x == t), default=0.0) / weight[t] for t in TENANTS}
    while line.heads():
        for one in line.backlogs():
            for other in line.backlogs():
                assert abs(served[one] - served[other]) <= largest[one] + largest[other] + 1e-6
        taken = took(line)
        served[taken.tenant] += taken.cost / taken.weight


@patient
@given(costs, st.lists(costs, min_size=10, max_size=50), weights)
def test_a_crowd_of_one_delays_others_by_at_most_one_request(
    cost: float, crowd: list[float], weight: dict[str, int]
) -> None:
    """However much a tenant has in line, who comes with a first request waits for one of it, whatever the weights."""
    line = filled([("a", c) for c in crowd], weight)
    for _ in range(3):
        took(line)
    line.put(waiting("b", cost, weight["b"]))
    assert "b" in {took(line).tenant for _ in range(2)}


@patient
@given(asked, weights, st.sampled_from(TENANTS))
def test_what_is_foreseen_ahead_is_what_is_served_before(
    requests: list[Asked], weight: dict[str, int], newcomer: str
) -> None:
    """But for one request of each other tenant, since requests are served whole."""
    line = filled(requests, weight)
    foreseen = line.ahead(newcomer, weight[newcomer])
    last = waiting(newcomer, 1.0, weight[newcomer])
    line.put(last)
    served = 0.0
    while (taken := took(line)) is not last:
        served += taken.cost
    slack = sum(max((c for x, c in requests if x == t), default=0.0) for t in TENANTS if t != newcomer)
    assert foreseen - 1e-6 - slack <= served <= foreseen + slack + 1e-6


def test_who_pauses_saves_nothing_up() -> None:
    """After a long time of one tenant's the other gets its share from now on, not what it did not ask for."""
    line = filled([("a", 1.0)] * 40, dict.fromkeys(TENANTS, 1))
    for _ in range(20):
        took(line)
    for _ in range(20):
        line.put(waiting("b", 1.0))
    assert Counter(took(line).tenant for _ in range(20)) == {"a": 10, "b": 10}


@pytest.mark.parametrize(("cost", "expected"), [(5.0, "bbbbb"), (2.0, "bbaba"), (0.1, "babab")])
def test_costs_settle(cost: float, expected: str) -> None:
    """What cost more than was thought is made up for; what cost less is given back, but not at a newcomer's expense."""
    line = filled([("a", 2.0)] + [("a", 1.0)] * 9 + [("b", 1.0)] * 9, dict.fromkeys(TENANTS, 1))
    taken = took(line)
    line.settle(taken, cost)
    assert "".join(took(line).tenant for _ in range(5)) == expected


@patient
@given(st.lists(costs, min_size=30, max_size=60), st.lists(costs, min_size=30, max_size=60), weights)
def test_wrong_guesses_let_nobody_pass_for_ever(guesses: list[float], true: list[float], w: dict[str, int]) -> None:
    """However wrong they are, a first request waits for one of a crowd's at most."""
    line = filled([("a", c) for c in guesses], w)
    for cost in true[:20]:
        line.settle(took(line), cost / 100)
    line.put(waiting("b", 1.0, w["b"]))
    assert "b" in {took(line).tenant for _ in range(2)}


def test_who_leaves_the_line_is_not_charged() -> None:
    """And leaving twice is leaving once."""
    line = FairLine[int](bound=9)
    gone, stays = waiting("a", 5.0), waiting("a", 1.0)
    line.put(gone)
    line.put(stays)
    line.drop(gone)
    line.drop(gone)
    assert len(line) == 1 and line.backlogs() == {"a": 1.0} and line.heads() == [stays]


def test_one_tenant_cannot_fill_the_line() -> None:
    """Half of it at most; a newcomer finds a place."""
    line = FairLine[int](bound=10)
    while line.has_room("a"):
        line.put(waiting("a", 1.0))
    assert line.waits("a") == 5
    while line.has_room("b"):
        line.put(waiting("b", 1.0))
    assert 2 <= line.waits("b") <= 3 and line.has_room("c")
    with pytest.raises(InvalidInput):
        FairLine[int](bound=0)


@patient
@given(st.lists(st.tuples(st.integers(0, 5_000), costs), min_size=200, max_size=300))
def test_tenants_that_are_gone_are_forgotten(requests: list[tuple[int, float]]) -> None:
    """Thousands of tenants leave nothing behind once the line is empty."""
    line = FairLine[int](bound=1_000)
    for number, cost in requests:
        line.put(waiting(f"t{number}", cost))
        line.settle(took(line), 2 * cost)
    assert line.backlogs() == {} and not line._accounts


@pytest.mark.parametrize(
    ("free_in", "ahead", "slots", "wait"),
    [
        ([0.0, 1.0], 0.0, 1, 0.0),
        ([0.0, 1.0], 0.0, 2, 1.0),
        ([1.3, 1.3, 1.3], 0.0, 1, 1.3),
        ([1.3, 1.3, 1.3], 2 * 1.3, 1, 1.3),
        ([1.3, 1.3, 1.3], 3 * 1.3, 1, 2.6),
        ([1.0, 0.1, 0.5], 1.3, 1, 0.5),
        ([1.0, 0.1, 0.5], 3 * 1.3, 1, 1.4),
        ([1.0, 0.1, 0.5], 3 * 1.3, 3, 2.3),
    ],
)
def test_a_wait_is_foreseen_from_when_slots_become_free(
    free_in: list[float], ahead: float, slots: int, wait: float
) -> None:
    """Each slot is held for 1.3 seconds by what goes before."""
    assert foreseen_wait(free_in, ahead=ahead, held=1.3, slots=slots) == pytest.approx(wait)
