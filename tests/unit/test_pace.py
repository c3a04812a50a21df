"""How many slots there are."""

import pytest

from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.pace import Pace


def answered(pace: Pace, capacity: int, times: int) -> None:
    """Answers of an engine that keeps its latency up to ``capacity`` at once and shares itself out beyond."""
    for _ in range(times):
        pace.needed()
        pace.began(max(1.0, pace.slots / capacity))


def test_slots_settle_where_the_target_is_met() -> None:
    """From above, and from below once the engine has become faster."""
    pace = Pace(least=2, most=64, target_seconds=1.5)
    answered(pace, 8, 2_000)
    assert 8 <= pace.slots <= 14
    answered(pace, 24, 4_000)
    assert 28 <= pace.slots <= 40


def test_bounds_hold() -> None:
    """Whatever the latency."""
    pace = Pace(least=2, most=6, target_seconds=1.0)
    answered(pace, 1, 1_000)
    assert pace.slots == 2
    answered(pace, 100, 1_000)
    assert pace.slots == 6
    for least, most in ((0, 3), (4, 3)):
        with pytest.raises(InvalidInput):
            Pace(least=least, most=most, target_seconds=None)


def test_slots_that_nobody_needs_are_not_added() -> None:
    """Otherwise a quiet night would open the gate for the morning."""
    pace = Pace(least=2, most=64, target_seconds=1.0)
    answered(pace, 8, 1_000)
    before = pace.slots
    for _ in range(1_000):
        pace.began(0.1)
    assert pace.slots == before


def test_without_a_target_nothing_moves() -> None:
    """A fixed number."""
    pace = Pace(least=2, most=32, target_seconds=None)
    answered(pace, 1, 1_000)
    assert pace.slots == 32
