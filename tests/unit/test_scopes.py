"""What a path needs of a key, and what a tenant may be called."""

import pytest

from rap_serve.api.gate import needed_scope
from rap_serve.domain.errors import InvalidInput, InvalidName
from rap_serve.domain.tenancy import Amounts, Limits, checked_shelf, checked_tenant_id, shared_shelf


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/users/ann/concepts", "read"),
        ("HEAD", "/v1/models", "read"),
        ("POST", "/v1/chat/completions", "read"),
        ("POST", "/v1/users/ann/retrieve", "read"),
        ("POST", "/v1/users/ann/concepts", "write"),
        ("PATCH", "/v1/users/ann/concepts/01", "write"),
        ("DELETE", "/v1/users/ann", "write"),
        ("POST", "/v1/users/ann/concepts:import", "write"),
        ("POST", "/v1/jobs/job_1:cancel", "write"),
        ("GET", "/v1/users/ann/shares", "read"),
        ("POST", "/v1/users/ann/shares", "write"),
        ("POST", "/v1/users/ann/shares/share_1:accept", "write"),
        ("DELETE", "/v1/users/ann/shares/share_1", "write"),
        ("POST", "/v1/chat/completions/else", "write"),
        ("FETCH", "/v1/anything", "write"),
        ("GET", "/admin/v1/tenants", "admin"),
    ],
)
def test_whatever_is_not_known_to_read_writes(method: str, path: str, scope: str) -> None:
    """And all of administration is administration."""
    assert needed_scope(method, path) == scope


@pytest.mark.parametrize("tenant", ["", ".", "..", "a/b", "a b", "x" * 65, "ä", "a\n"])
def test_a_tenant_id_is_plain(tenant: str) -> None:
    """It is part of paths and keys."""
    with pytest.raises(InvalidName):
        checked_tenant_id(tenant)


@pytest.mark.parametrize("shelf", ["A", "1a", "a-b", "a" * 33, "ä", "a\n"])
def test_a_shelf_is_named_as_a_collection_can_be(shelf: str) -> None:
    """Small letters and digits."""
    with pytest.raises(InvalidInput):
        checked_shelf(shelf)


def test_tenants_are_spread_evenly_and_for_good() -> None:
    """The same tenant on the same shelf; one shelf needs no name."""
    shelves = [shared_shelf(f"tenant-{n}", 16) for n in range(1_600)]
    assert shelves == [shared_shelf(f"tenant-{n}", 16) for n in range(1_600)]
    counts = [shelves.count(name) for name in set(shelves)]
    assert len(counts) == 16 and min(counts) > 60 and max(counts) < 140
    assert shared_shelf("tenant", 1) == ""


def test_limits_are_not_negative_and_amounts_add_up() -> None:
    """Nothing is a limit too."""
    with pytest.raises(InvalidInput):
        Limits(concepts=-1)
    amounts = Amounts(concepts=2, avatars=-1) + -Amounts(concepts=3, bytes=-5)
    assert amounts == Amounts(concepts=-1, avatars=-1, bytes=5)
    assert amounts.rising() == Amounts(bytes=5)
