"""How long batches are gathered."""

import pytest

from rap_serve.domain.gathering import Curve, Gathering


def practised(*, most_seconds: float = 1.0) -> Gathering:
    """One that has seen a model take 10 ms a pass and 1 ms an item."""
    pace = Gathering(most_seconds=most_seconds)
    for size in (1, 4, 8, 16) * 3:
        pace.ended(size, 0.010 + 0.001 * size)
    return pace


def test_nobody_waits_for_an_idle_model() -> None:
    """What comes while nothing is computed is computed at once."""
    assert practised().wait_seconds(100.0) == 0


def test_a_batch_is_gathered_until_the_model_is_free() -> None:
    """It could not begin earlier: the longer it grows, the fewer passes there are."""
    pace = practised()
    pace.began(10, 100.0)
    assert pace.wait_seconds(100.005) == pytest.approx(0.015)


def test_a_pass_that_ends_early_ends_the_waiting() -> None:
    """The guess was wrong; the model is idle."""
    pace = practised()
    pace.began(10, 100.0)
    pace.ended(10, 0.004)
    assert pace.wait_seconds(100.005) == 0


def test_a_pass_that_outlasts_its_guess_adds_no_wait() -> None:
    """A negative rest is none."""
    pace = practised()
    pace.began(10, 100.0)
    assert pace.wait_seconds(101.0) == 0


def test_no_wait_is_longer_than_its_bound() -> None:
    """Whatever a machine that stood still made of the guess."""
    pace = practised(most_seconds=0.005)
    pace.began(10, 100.0)
    assert pace.wait_seconds(100.0) == 0.005


def test_nothing_is_guessed_of_a_model_that_never_ran() -> None:
    """The first calls do not wait."""
    pace = Gathering(most_seconds=1.0)
    pace.began(10, 100.0)
    assert pace.wait_seconds(100.0) == 0


def test_a_curve_follows_a_model_that_becomes_slower() -> None:
    """What was long ago is forgotten."""
    curve = Curve()
    for seconds in (0.01, 0.1):
        for size in (2, 8) * 40:
            curve.observe(size, seconds * size)
    assert curve.seconds(4) == pytest.approx(0.4, rel=0.05)


def test_one_size_alone_says_what_that_size_takes() -> None:
    """There is no slope to be had of it."""
    curve = Curve()
    curve.observe(8, 0.2)
    assert curve.seconds(8) == curve.seconds(1) == 0.2
