"""Low load foretells saturation: the arithmetic."""

import pytest

from loadtest.scale.predict import (
    Cost,
    Footprint,
    Growth,
    Machine,
    Spell,
    company,
    costs,
    requests_per_second,
    seconds_per_request,
)

REST = Spell(0, 0, 10.0, {"engine": 1.0, "gateway": 0.5})


def spell(under_way: float, requests: int, *, engine: float, gateway: float, piece: float = 1.0) -> Spell:
    """Ten seconds in which each request took so much of a core beyond rest."""
    spent = {"engine": 1.0 + requests * engine, "gateway": 0.5 + requests * gateway}
    return Spell(under_way, requests, 10.0, spent, in_engine=0.5, piece=piece)


def test_what_is_shared_is_told_from_what_is_not() -> None:
    """0.02 of its own and 0.06 shared: 0.08 alone, 0.044 in the company of 2.5 that four under way are."""
    found = costs(REST, spell(1, 40, engine=0.08, gateway=0.02), spell(4, 90, engine=0.044, gateway=0.02))
    assert (found["engine"].own, found["engine"].shared) == pytest.approx((0.02, 0.06))
    assert (found["gateway"].own, found["gateway"].shared) == pytest.approx((0.02, 0.0))
    assert found["engine"].at(company(16, 0.5)) == pytest.approx(0.02 + 0.06 / 8.5)


def test_what_costs_more_in_company_shares_nothing() -> None:
    """Noise; its mean is taken."""
    found = costs(REST, spell(1, 40, engine=0.08, gateway=0.02), spell(4, 90, engine=0.08, gateway=0.03))
    assert found["gateway"].own == pytest.approx(0.025) and found["gateway"].shared == 0.0


def test_no_request_is_foretold_to_cost_less_than_nothing() -> None:
    """Where all seems shared, the larger company says how much."""
    found = costs(REST, spell(1, 40, engine=0.3, gateway=0.02), spell(4, 90, engine=0.05, gateway=0.02))
    assert found["engine"].own == 0.0 and found["engine"].at(2.5) == pytest.approx(0.05)


def test_a_slower_core_is_not_taken_for_dearer_requests() -> None:
    """Times are told in pieces of work, and in seconds again at the speed of full cores."""
    slow = spell(4, 90, engine=0.088, gateway=0.04, piece=2.0)
    found = costs(REST, spell(1, 40, engine=0.08, gateway=0.02), slow)
    assert found["engine"].at(2.5) == pytest.approx(0.044)
    assert seconds_per_request(found, Machine(2, piece=1.5), 2.5)["gateway"] == pytest.approx(0.03)


def test_all_cores_together_bound_the_rate() -> None:
    """Two cores, less 0.15 at rest and 0.35 of others, over 0.15 seconds a request."""
    spent = {"engine": 0.1, "gateway": 0.05}
    assert requests_per_second(spent, Machine(2), rest=REST, others_cores=0.35) == pytest.approx(10.0)


def test_one_busy_process_bounds_the_rate() -> None:
    """However many cores there are."""
    spent = {"engine": 0.1, "gateway": 0.05}
    assert requests_per_second(spent, Machine(64), rest=REST, others_cores=0.0) == pytest.approx(10.0)


def test_memory_grows_by_concepts_and_by_pictures() -> None:
    """10 bytes a concept, 100 a picture."""
    fewer, more = Footprint(100, 5, {"a": 5_000, "b": 1_000}), Footprint(200, 5, {"a": 6_000, "b": 1_000})
    seen = Footprint(200, 10, {"a": 6_000, "b": 1_500})
    growth = Growth.between(fewer, more, seen)
    assert growth == Growth(10.0, 100.0)
    assert growth.beyond(seen, concepts=1_000, pictures=20) == pytest.approx(7_500 + 10_000 + 2_000)


def test_what_shrinks_is_no_growth() -> None:
    """A process gave memory back meanwhile."""
    fewer, more = Footprint(100, 5, {"a": 5_000}), Footprint(200, 5, {"a": 4_000})
    assert Growth.between(fewer, more, Footprint(200, 6, {"a": 4_000})) == Growth(0.0, 0.0)


def test_company_is_one_for_who_is_alone() -> None:
    """And all, where requests do nothing but be answered."""
    assert company(1, 0.3) == 1.0 and company(8, 1.0) == 8.0
    assert Cost(0.01, 0.04).at(company(1, 0.3)) == pytest.approx(0.05)
