"""Patience with a service that is away for a moment."""

from collections.abc import Callable

import pytest

from rap_serve.cli.client import ServiceError
from rap_serve.cli.eval.bench import TRIES, patiently


def failing(times: int, status: int) -> tuple[Callable[[], int], list[int]]:
    """A call that fails so often and then gives 7, and the list of its tries."""
    tries: list[int] = []

    def call() -> int:
        tries.append(status)
        if len(tries) <= times:
            raise ServiceError("not now", "unavailable", status)
        return 7

    return call, tries


def test_a_service_that_is_away_is_asked_again() -> None:
    """Up to a limit, then the error is told."""
    call, tries = failing(2, 503)
    assert patiently(call, pause_seconds=0) == 7 and len(tries) == 3
    call, tries = failing(99, 503)
    with pytest.raises(ServiceError):
        patiently(call, pause_seconds=0)
    assert len(tries) == TRIES


def test_any_other_refusal_is_told_at_once() -> None:
    """Asking again would not help."""
    call, tries = failing(1, 404)
    with pytest.raises(ServiceError):
        patiently(call, pause_seconds=0)
    assert len(tries) == 1
