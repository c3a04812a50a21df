"""How many replicas are wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rap_serve.domain.scaling import Load, RecentMean, Targets, wanted_replicas

TARGETS = Targets(ongoing=4, latency_seconds=0.5)


def wanted(running: int, ongoing: float, latency: float = 0.1, target: int | None = None) -> int:
    """Between one and eight."""
    load = Load(running=running, target=running if target is None else target, ongoing=ongoing, latency_seconds=latency)
    return wanted_replicas(load, TARGETS, at_least=1, at_most=8)


@pytest.mark.parametrize(("ongoing", "replicas"), [(4, 1), (5, 2), (12, 3), (100, 8)])
def test_a_queue_is_answered_at_once(ongoing: float, replicas: int) -> None:
    """As many as work it off at the target, up to the bound."""
    assert wanted(1, ongoing) == replicas


def test_slow_answers_ask_for_more() -> None:
    """In proportion, doubled at most."""
    assert wanted(2, 4, latency=0.7) == 3
    assert wanted(2, 4, latency=9.0) == 4


def test_slow_answers_of_idle_replicas_ask_for_nothing() -> None:
    """One more would make nobody faster."""
    assert wanted(4, 3.5, latency=9.0) == 4


def test_replicas_on_their_way_are_waited_for() -> None:
    """Answers stay slow until they are there; that asks for no more."""
    assert wanted(1, 4, latency=2.0, target=2) == 2


def test_replicas_go_one_at_a_time_and_never_below_the_least() -> None:
    """Whatever little there is to do."""
    assert [wanted(n, 0) for n in (8, 3, 2, 1)] == [7, 2, 1, 1]


def test_none_goes_while_answers_are_slow() -> None:
    """Even with an empty queue."""
    assert wanted(3, 1, latency=0.45) == 3


@given(st.integers(1, 8), st.floats(0, 40))
def test_a_load_that_stays_ends_in_a_count_that_stays(replicas: int, ongoing: float) -> None:
    """Wherever it starts: no load has the count go up and down for ever."""
    for _ in range(20):
        replicas = wanted(replicas, ongoing)
    assert wanted(replicas, ongoing) == replicas


@given(st.integers(1, 8), st.floats(0, 40), st.floats(0.8, 1.2))
def test_what_wavers_by_a_fifth_moves_the_count_one_way_only(replicas: int, ongoing: float, by: float) -> None:
    """A replica that was just added does not go again, one that just went does not come back."""
    after = wanted(replicas, ongoing)
    then = wanted(after, ongoing * by)
    assert (then - after) * (after - replicas) >= 0


def test_a_recent_mean_forgets() -> None:
    """Old values count less, and in the end not at all."""
    mean = RecentMean(half_life_seconds=1)
    mean.add(4.0, now=100.0)
    assert mean.value(now=100.0) == pytest.approx(4.0)
    mean.add(1.0, now=101.0)
    assert mean.value(now=101.0) == pytest.approx(2.0)
    assert mean.value(now=120.0) == 0.0
