"""The checker of recorded histories finds what was planted, and nothing in a good one."""

import random
from dataclasses import replace

import pytest

from loadtest.history import GONE, Event, violations


def write(version: int, began: float, ended: float, **fields: object) -> Event:
    """A write of one concept."""
    return replace(Event(0, "c", "write", began, ended, version, f"v{version}"), **fields)  # type: ignore[arg-type]


def read(version: int, began: float, ended: float, **fields: object) -> Event:
    """What somebody saw."""
    value = f"v{version}" if version else ""
    return replace(Event(1, "c", "read", began, ended, version, value), **fields)  # type: ignore[arg-type]


def deletion(began: float, ended: float) -> Event:
    """Its end."""
    return Event(0, "c", "delete", began, ended, GONE, "")


GOOD = [
    write(1, 0, 1),
    read(1, 2, 3),
    write(2, 4, 6),
    read(1, 4.5, 5),
    read(2, 5, 5.5),
    read(2, 6.5, 7),
    write(0, 8, 9, value="lost answer", acknowledged=False),
    read(3, 10, 11, value="lost answer"),
    deletion(12, 14),
    read(3, 12.5, 13, value="lost answer"),
    read(GONE, 13, 13.5),
    read(GONE, 15, 16),
]


def test_a_good_history_has_nothing_wrong() -> None:
    """Reads beside a write may see either version, an unanswered write may have happened."""
    assert violations(GOOD) == []
    assert violations(random.Random(0).sample(GOOD, len(GOOD))) == []


@pytest.mark.parametrize(
    ("planted", "promise"),
    [
        (write(2, 6.2, 6.4), "lost update"),
        (read(1, 6.5, 7), "stale read"),
        (read(GONE, 6.5, 7), "stale read"),
        (read(2, 6.5, 7, value="nonsense"), "invented"),
        (read(9, 6.5, 7), "invented"),
        (read(1, 5.6, 5.8), "backwards"),
        (read(3, 15, 16, value="lost answer"), "undead"),
    ],
)
def test_what_is_planted_is_found(planted: Event, promise: str) -> None:
    """Under its name."""
    assert promise in {v.promise for v in violations([*GOOD, planted])}


def test_concepts_are_checked_apart() -> None:
    """A version of one says nothing of another."""
    assert violations([*GOOD, replace(write(2, 6.2, 6.4), concept="d"), replace(read(2, 7, 8), concept="d")]) == []
