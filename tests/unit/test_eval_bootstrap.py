"""Figures and their intervals."""

import math

import pytest

from rap_serve.cli.eval.bootstrap import NOTHING, Figure, figure, per_unit, share_of


def test_an_interval_is_the_same_every_time_and_holds_the_value() -> None:
    """The seed is fixed."""
    counts = [(1, 1)] * 30 + [(0, 1)] * 10
    found = share_of(counts)
    assert found == share_of(counts)
    assert found.value == 0.75 and found.low < 0.75 < found.high
    assert (found.n, found.units) == (40, 40)


def test_cases_of_one_picture_are_drawn_together() -> None:
    """Ten pictures with ten equal answers each say less than a hundred pictures."""
    together = share_of([(10, 10)] * 5 + [(0, 10)] * 5)
    apart = share_of([(1, 1)] * 50 + [(0, 1)] * 50)
    assert together.n == apart.n == 100
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_a_share_of_all_or_nothing_is_not_certain() -> None:
    """Wilson's interval over the pictures."""
    assert share_of([(1, 1)] * 10).low == pytest.approx(0.7225, abs=1e-3)
    assert share_of([(0, 1)] * 10).high == pytest.approx(0.2775, abs=1e-3)


def test_pictures_that_all_have_the_same_share_are_not_certain_either() -> None:
    """One of two found on each of three pictures."""
    found = share_of([(1, 2)] * 3)
    assert found.low == pytest.approx(0.1253, abs=1e-3) and found.high == pytest.approx(0.8747, abs=1e-3)


def test_a_formula_is_of_sums_over_pictures() -> None:
    """F1 of right, expected and said."""
    found = figure([(1, 2, 1), (2, 2, 4)], lambda s: 2 * s[..., 0] / (s[..., 1] + s[..., 2]), n=4)
    assert found.value == pytest.approx(2 * 3 / (4 + 5))


def test_a_count_per_picture_may_exceed_one() -> None:
    """And is then no share."""
    assert per_unit([2, 2, 2]) == Figure(2.0, 2.0, 2.0, 3, 3)


def test_a_figure_of_nothing_is_not_a_number() -> None:
    """And null in a file, from which it comes back."""
    assert share_of([]) == NOTHING or math.isnan(share_of([]).value)
    assert share_of([]).json()["value"] is None
    assert math.isnan(Figure.of(share_of([]).json()).value)
