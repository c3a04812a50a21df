"""The checks of isolation and erasure find what was planted, and nothing else."""

from pathlib import Path

import httpx
import numpy as np
import pytest

from loadtest.erasure import searched, spellings
from loadtest.isolation import Tenant, wrong
from loadtest.isolation_calls import Call, Known, made_up
from loadtest.isolation_timings import compared
from rap_serve.domain.concept import new_ulid

THEIRS = new_ulid()


@pytest.fixture
def other() -> Tenant:
    """Who must not be seen."""
    http = httpx.AsyncClient()
    return Tenant("iso-b", "qzb123", http, http, ids={THEIRS})


def read(*path: str | Known) -> Call:
    """A call of the first tenant."""
    return Call(tenant=0, name="read concept", method="GET", path=path)


@pytest.mark.parametrize(
    ("status", "text", "said", "what"),
    [
        (200, f'{{"id": "{THEIRS}"}}', "/v1/users/ann/concepts", "an id of the other's"),
        (404, f'"{THEIRS}" is not yours', "/v1/jobs", "an id of the other's"),
        (404, f'"{THEIRS}" is not here', f"/v1/jobs/{THEIRS}", ""),
        (200, '{"info": "qzb123 secret"}', "/v1/users/ann/concepts", "a text of the other's"),
        (200, '{"info": "qzb123 secret"}', "/v1/users/ann/concepts?name=qzb123", "a text of the other's"),
        (400, "no name is qzb123", "/v1/users/ann/concepts?name=qzb123", ""),
        (200, '{"data": []}', "/v1/users/ann/concepts", ""),
        (500, "oops", "/v1/users/ann/concepts", "an error of the service's"),
        (503, "later", "/v1/users/ann/concepts", ""),
        (200, '{"tenant": "iso-b"}', "/admin/v1/audit", "the other's name"),
    ],
)
def test_what_is_the_others_is_found_in_answers(other: Tenant, status: int, text: str, said: str, what: str) -> None:
    """What the request itself said may come back in a refusal."""
    assert wrong(read("v1"), other, said, httpx.Response(status, text=text)) == what


def test_an_answer_about_the_others_is_wrong_whatever_it_says(other: Tenant) -> None:
    """Ids of another tenant are not found."""
    call = read("v1", "jobs", Known("job", "other", 0))
    assert wrong(call, other, f"/v1/jobs/{THEIRS}", httpx.Response(200, text="{}")) == "an answer about the other's"
    assert wrong(call, other, f"/v1/jobs/{THEIRS}", httpx.Response(404, text="{}")) == ""


def test_calls_are_made_up_of_all_kinds_and_the_same_for_a_seed() -> None:
    """Each kind by its share."""
    some = made_up(2_000, distinct=100, seeded=1)
    assert len(some) == 2_000 and some == made_up(2_000, distinct=100, seeded=1)
    assert len({call.name for call in some}) > 30
    assert {call.tenant for call in some} == {0, 1}


def test_a_difference_of_times_is_told_from_none() -> None:
    """Mann-Whitney's p is small for shifted samples only."""
    rng = np.random.default_rng(0)
    same, shifted = (rng.normal(size=2_000) + shift for shift in (0.0, 0.2))
    assert compared(list(rng.normal(size=2_000)), list(same))["p"] > 0.01
    assert compared(list(shifted), list(same))["p"] < 0.001


@pytest.mark.parametrize("how", ["plain", "base64", "utf-16", "hex", "reversed"])
def test_a_mark_is_found_in_files_however_it_is_spelt(tmp_path: Path, how: str) -> None:
    """And a file without it is not named."""
    for number, word in enumerate(spellings("zq0123456789abcdef")[how]):
        (tmp_path / f"{number}").write_bytes(b"before" + word + b"after")
    (tmp_path / "clean").write_bytes(b"zq0123")
    files = sorted(tmp_path.iterdir())
    found = searched(files, ["zq0123456789abcdef"])
    assert found["files"] == len(files)
    assert {name.partition(": ")[0] for name in found["found"]} == {str(p) for p in files if p.name != "clean"}
