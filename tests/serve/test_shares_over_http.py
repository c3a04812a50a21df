"""Sharing within a household over HTTP and from the command line."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from loadtest import drawn
from tests.running_service import ROOT, RunningService

MUG = drawn.thing(1, "mug")


@pytest.fixture
def ann(user: str) -> str:
    """Who shares."""
    return f"{user}-ann"


@pytest.fixture
def ben(user: str) -> str:
    """Whom with."""
    return f"{user}-ben"


def bo(http: httpx.Client, user: str, name: str = "bo") -> dict[str, Any]:
    """A concept of the user's."""
    made = http.post(f"/v1/users/{user}/concepts", json={**drawn.concept(name, MUG, 1), "info": f"<{name}> is a mug."})
    assert made.status_code == 201, made.text
    return dict(made.json())


def offered(http: httpx.Client, giver: str, taker: str, **body: object) -> dict[str, Any]:
    """An offer."""
    made = http.post(f"/v1/users/{giver}/shares", json={"with": taker, **body})
    assert made.status_code == 201, made.text
    return dict(made.json())


def accepted(http: httpx.Client, giver: str, taker: str, **body: object) -> dict[str, Any]:
    """A share that both agreed to."""
    answer = http.post(f"/v1/users/{taker}/shares/{offered(http, giver, taker, **body)['id']}:accept")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def found(http: httpx.Client, user: str) -> list[tuple[str, str | None]]:
    """What a picture of the mug shows to the user, and whose that is."""
    scene = drawn.scene([MUG], 1)
    body = {"image": scene.data_url, "boxes_xyxy": scene.boxes}
    answer = http.post(f"/v1/users/{user}/retrieve", json=body).json()
    evidence = [(e["name"], e["shared_by"]) for e in answer["evidence"]]
    candidates = {(c["name"], c["shared_by"]) for r in answer["regions"] for c in r["candidates"]}
    assert set(evidence) <= candidates
    return evidence


def test_a_share_begins_with_consent_and_ends_with_either_side(
    http: httpx.Client, other_tenant: httpx.Client, ann: str, ben: str
) -> None:
    """Offered, accepted, edited and ended: each is seen by the next request."""
    concept = bo(http, ann)
    for end_by in (ann, ben):
        offer = offered(http, ann, ben)
        assert {k: offer[k] for k in ("object", "from", "with", "concepts", "state", "accepted_at")} == {
            "object": "share",
            "from": ann,
            "with": ben,
            "concepts": None,
            "state": "offered",
            "accepted_at": None,
        }
        assert found(http, ben) == []
        assert http.post(f"/v1/users/{ben}/shares/{offer['id']}:accept").json()["state"] == "accepted"
        assert found(http, ben) == [("bo", ann)] and found(http, ann) == [("bo", None)]
        address = f"/v1/users/{ann}/concepts/{concept['id']}"
        assert http.patch(address, json={"name": "mo"}).status_code == 200
        assert found(http, ben) == [("mo", ann)] and found(other_tenant, ben) == []
        assert http.patch(address, json={"name": "bo"}).status_code == 200
        ended = http.delete(f"/v1/users/{end_by}/shares/{offer['id']}")
        assert ended.json() == {"id": offer["id"], "object": "share", "deleted": True}
        assert found(http, ben) == [] and found(http, ann) == [("bo", None)]


def test_an_answer_rests_on_what_is_shared(http: httpx.Client, ann: str, ben: str) -> None:
    """With the giver's picture in the prompt, and in a stream too."""
    bo(http, ann)
    accepted(http, ann, ben)
    part = {"type": "image_url", "image_url": {"url": drawn.scene([MUG], 1).data_url}}
    content = [{"type": "text", "text": "What is this?"}, part]
    body = {"model": "rap-tiny", "messages": [{"role": "user", "content": content}], "user": ben}
    answer = http.post("/v1/chat/completions", json=body).json()
    assert [(e["name"], e["shared_by"]) for e in answer["rap"]["evidence"]] == [("bo", ann)]
    alone = http.post("/v1/chat/completions", json={**body, "rap": {"retrieval": False}}).json()
    assert answer["usage"]["prompt_tokens"] > alone["usage"]["prompt_tokens"] + 10
    streamed = http.post("/v1/chat/completions", json={**body, "stream": True}).text
    assert f'"shared_by": "{ann}"' in streamed


def test_the_takers_own_is_its_own(http: httpx.Client, ann: str, ben: str) -> None:
    """Lists, edits and corrections know nothing of what others share; a name both have goes with its giver's."""
    concept = bo(http, ann)
    address = f"/v1/users/{ben}/concepts/{concept['id']}"
    accepted(http, ann, ben)
    assert http.get(f"/v1/users/{ben}/concepts").json()["data"] == []
    correction = {"concept_id": concept["id"], "image": drawn.scene([MUG], 1).data_url}
    for call in (
        http.get(address),
        http.patch(address, json={"info": "Mine."}),
        http.delete(address),
        http.post(f"/v1/users/{ben}/corrections", json=correction),
    ):
        assert (call.status_code, call.json()["error"]["code"]) == (404, "concept_not_found")
    own = http.post(f"/v1/users/{ben}/concepts", json=drawn.concept("bo", drawn.thing(2, "house"), 2))
    assert own.status_code == 201 and own.json()["warnings"] == []
    assert found(http, ben) == [(f"bo-{ann}", ann)]
    text = http.post(f"/v1/users/{ben}/retrieve", json={"text": f"Is <bo> or <bo-{ann}> larger?"}).json()
    assert [(e["name"], e["shared_by"]) for e in text["evidence"]] == [("bo", None), (f"bo-{ann}", ann)]


def test_both_sides_list_what_is_shared_and_nobody_else(
    http: httpx.Client, other_tenant: httpx.Client, ann: str, ben: str, user: str
) -> None:
    """In pages, with names and categories; a third user can neither accept nor end."""
    first, _ = bo(http, ann), bo(http, ann, "rex")
    shares = [offered(http, ann, ben, concepts=[first["id"]]), accepted(http, ann, ben)]
    covers = [{"concept_id": first["id"], "name": "bo", "category": "mug"}]
    for side in (ann, ben):
        whole = http.get(f"/v1/users/{side}/shares").json()
        assert [s["id"] for s in whole["data"]] == [s["id"] for s in shares]
        assert whole["data"][0]["covers"] == covers and len(whole["data"][1]["covers"]) == 2
        page = http.get(f"/v1/users/{side}/shares", params={"limit": 1}).json()
        assert page["has_more"] and page["last_id"] == shares[0]["id"]
        rest = http.get(f"/v1/users/{side}/shares", params={"after": page["last_id"]}).json()
        assert rest["data"] == whole["data"][1:] and not rest["has_more"]
    for client, who in ((http, user), (other_tenant, ben), (other_tenant, ann)):
        path = f"/v1/users/{who}/shares"
        assert client.get(path).json()["data"] == []
        for share in shares:
            answers = client.post(f"{path}/{share['id']}:accept"), client.delete(f"{path}/{share['id']}")
            assert [(a.status_code, a.json()["error"]["code"]) for a in answers] == [(404, "not_found")] * 2
    assert http.post(f"/v1/users/{ann}/shares/{shares[0]['id']}:accept").status_code == 404


def test_offers_tell_nothing_and_are_made_once(http: httpx.Client, ann: str, ben: str) -> None:
    """Of who exists; the same offer is the same share, with an idempotency key or without."""
    bo(http, ben)
    known, unknown = offered(http, ann, ben), offered(http, ann, f"{ben}-nobody")
    assert {**known, "id": "", "with": "", "created_at": 0} == {**unknown, "id": "", "with": "", "created_at": 0}
    assert offered(http, ann, ben)["id"] == known["id"]
    headers = {"Idempotency-Key": f"key-{time.time_ns()}"}
    address = f"/v1/users/{ann}/shares/{known['id']}"
    answers = [http.delete(address, headers=headers) for _ in range(2)]
    assert [a.status_code for a in answers] == [200, 200] and answers[1].headers["idempotent-replayed"] == "true"
    assert http.delete(address).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "missing_field"),
        ({"with": "ben", "concepts": []}, 400, "invalid_request"),
        ({"with": "ben", "concepts": ["01"]}, 404, "concept_not_found"),
        ({"with": "a/b"}, 400, "invalid_name"),
        ({"with": "ben", "whole": True}, 400, "unknown_field"),
        ({"with_": "ben"}, 400, "missing_field"),
    ],
)
def test_bad_offers_are_refused(http: httpx.Client, ann: str, body: dict[str, object], status: int, code: str) -> None:
    """And none is kept."""
    answer = http.post(f"/v1/users/{ann}/shares", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert http.post(f"/v1/users/{ann}/shares", json={"with": ann}).status_code == 400
    assert http.get(f"/v1/users/{ann}/shares").json()["data"] == []


def test_a_user_offers_no_more_than_so_many(http: httpx.Client, ann: str) -> None:
    """Past it is a conflict."""
    for number in range(64):
        offered(http, ann, f"ben-{number}")
    answer = http.post(f"/v1/users/{ann}/shares", json={"with": "ben"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


def test_what_an_erased_user_shared_is_gone(http: httpx.Client, ann: str, ben: str) -> None:
    """At once, and when it comes back too."""
    bo(http, ann)
    accepted(http, ann, ben)
    assert found(http, ben) == [("bo", ann)]
    started = http.delete(f"/v1/users/{ann}")
    assert found(http, ben) == [] and http.get(f"/v1/users/{ben}/shares").json()["data"] == []
    bo(http, ann)
    assert found(http, ben) == []
    for _ in range(600):
        job = http.get(started.headers["location"]).json()
        if job["state"] == "done":
            break
        time.sleep(0.1)
    assert job["result"]["receipt"]["shares"] == {"given_or_taken": 1}


@pytest.fixture
def rap(service: RunningService) -> Callable[..., str]:
    """Runs one command and gives its output."""

    def run(*words: str, fails: bool = False) -> str:
        command = [sys.executable, "-m", "rap_serve.cli.main", *words, "--home", str(service.home)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


def test_the_command_line_shares(rap: Callable[..., str], http: httpx.Client, ann: str, ben: str) -> None:
    """Offered by name, listed, accepted and ended."""
    bo(http, ann)
    share = json.loads(rap("shares", "offer", "bo", "--with", ben, "--user", ann, "--json"))
    assert "bo" in rap("shares", "list", "--user", ben) and share["id"] in rap(
        "shares", "offer", "bo", "--with", ben, "--user", ann
    )
    assert "knows" in rap("shares", "accept", share["id"], "--user", ben)
    assert [s["state"] for s in json.loads(rap("shares", "list", "--user", ben, "--json"))] == ["accepted"]
    assert "has ended" in rap("shares", "end", share["id"], "--user", ben)
    assert "shares nothing" in rap("shares", "list", "--user", ann)
    assert "no concept" in rap("shares", "offer", "rex", "--with", ben, "--user", ann, fails=True)
