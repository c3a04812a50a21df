"""How long batches are gathered."""

import pytest

from rap_serve.domain.gathering import Gathering


def after_passes(count: int, seconds: float, computed_seconds: float, *, most_seconds: float = 1.0) -> Gathering:
    """What has seen that many passes, all alike."""
    gathering = Gathering(most_seconds=most_seconds)
    for _ in range(count):
        gathering.passed(seconds, computed_seconds)
    return gathering


def test_nobody_waits_before_anything_is_known() -> None:
    """The first calls are passed at once."""
    assert Gathering(most_seconds=1.0).wait_seconds == 0


def test_nobody_waits_while_there_is_a_core() -> None:
    """A pass that is held up now and then is no sign of a machine without one."""
    assert after_passes(30, 0.024, 0.020).wait_seconds == 0


def test_a_batch_grows_for_as_long_as_its_pass_would_wait_for_a_core() -> None:
    """Twice as long by the clock as it computes: half of it was waiting."""
    assert after_passes(30, 0.060, 0.030).wait_seconds == pytest.approx(0.030)


def test_no_wait_is_longer_than_its_bound() -> None:
    """Whatever a machine that stood still made of it."""
    assert after_passes(3, 9.0, 0.1, most_seconds=0.25).wait_seconds == 0.25


def test_what_was_long_ago_is_forgotten() -> None:
    """A machine that has become quiet keeps nobody waiting."""
    gathering = after_passes(100, 0.2, 0.05)
    for _ in range(100):
        gathering.passed(0.05, 0.05)
    assert gathering.wait_seconds == 0
