"""Tenants, keys, limits and usage over HTTP and from the command line."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from loadtest import drawn
from tests.running_service import ROOT, RunningService

TENANTS = "/admin/v1/tenants"


@pytest.fixture
def operator(service: RunningService) -> Iterator[httpx.Client]:
    """A client with the operator's key."""
    key = json.loads((service.home / "service.json").read_text())["operator_key"]
    with service.client(key) as client:
        yield client


@pytest.fixture
def tenant(operator: httpx.Client) -> str:
    """A fresh tenant."""
    made = operator.post(TENANTS, json={"id": f"t-{time.time_ns()}"})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


def key_for(operator: httpx.Client, tenant: str, **body: object) -> str:
    """A fresh key."""
    answer = operator.post(f"{TENANTS}/{tenant}/keys", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["secret"])


def code_of(answer: httpx.Response) -> str:
    """The stable word of a refusal."""
    return str(answer.json()["error"]["code"])


def bo(number: int = 1) -> dict[str, object]:
    """Something to remember."""
    return drawn.concept(f"bo{number}", drawn.thing(1), 1)


def test_a_key_does_what_its_scopes_say(service: RunningService, operator: httpx.Client, tenant: str) -> None:
    """Reading, writing and administration apart; a key of a tenant never runs the cluster."""
    reader = key_for(operator, tenant, scopes=["read"])
    writer = key_for(operator, tenant)
    admin = key_for(operator, tenant, scopes=["admin"])
    with service.client(reader) as may_read, service.client(writer) as may_write, service.client(admin) as may_manage:
        refused = may_read.post("/v1/users/ann/concepts", json=bo())
        assert (refused.status_code, code_of(refused)) == (403, "insufficient_scope")
        assert refused.json()["error"]["type"] == "permission_error"
        assert may_write.post("/v1/users/ann/concepts", json=bo()).status_code == 201
        assert len(may_read.get("/v1/users/ann/concepts").json()["data"]) == 1
        assert may_read.post("/v1/users/ann/retrieve", json={"text": "<bo1>"}).status_code == 200
        assert may_write.get(f"{TENANTS}/{tenant}").status_code == 403
        assert may_manage.get(f"{TENANTS}/{tenant}").json()["held"]["concepts"] == 1
        assert may_manage.get("/v1/users/ann/concepts").status_code == 403
        assert may_manage.get(f"{TENANTS}/default").status_code == 404
        for call in (may_manage.get(TENANTS), may_manage.post(TENANTS, json={"id": "x"})):
            assert (call.status_code, code_of(call)) == (403, "insufficient_scope")


def test_a_key_is_shown_once_rotated_and_revoked(service: RunningService, operator: httpx.Client, tenant: str) -> None:
    """And stops opening anything within five seconds."""
    secret = key_for(operator, tenant, label="ci", expires_in_seconds=3_600)
    (listed,) = operator.get(f"{TENANTS}/{tenant}/keys").json()["data"]
    assert listed["label"] == "ci" and listed["expires_at"] and "secret" not in listed
    assert secret not in json.dumps(listed)
    rotated = operator.post(f"{TENANTS}/{tenant}/keys/{listed['id']}:rotate", json={"overlap_seconds": 60}).json()
    with service.client(secret) as old, service.client(rotated["secret"]) as new:
        assert old.get("/v1/models").status_code == new.get("/v1/models").status_code == 200
        assert operator.delete(f"{TENANTS}/{tenant}/keys/{rotated['id']}").json()["revoked_at"]
        revoked = time.monotonic()
        while new.get("/v1/models").status_code != 401:
            assert time.monotonic() - revoked < 5
            time.sleep(0.05)
        assert old.get("/v1/models").status_code == 200
    actions = [a["action"] for a in operator.get("/admin/v1/audit", params={"tenant": tenant}).json()["data"]]
    assert actions == ["tenant.create", "key.issue", "key.rotate", "key.revoke"]
    assert secret not in service.log_text() and rotated["secret"] not in service.log_text()


def test_quotas_hold_to_the_unit_under_32_writers(service: RunningService, operator: httpx.Client, tenant: str) -> None:
    """What does not fit is refused and leaves nothing; what is deleted makes room."""
    operator.patch(f"{TENANTS}/{tenant}", json={"limits": {"concepts": 5}})
    with service.client(key_for(operator, tenant)) as client, ThreadPoolExecutor(32) as crowd:
        answers = list(
            crowd.map(lambda n: client.post(f"/v1/users/u{n % 3}/concepts", json={**bo(n), "info": "A."}), range(32))
        )
        assert sorted(a.status_code for a in answers) == [201] * 5 + [403] * 27
        assert {code_of(a) for a in answers if a.status_code == 403} == {"quota_exceeded"}
        stored = [c for n in range(3) for c in client.get(f"/v1/users/u{n}/concepts").json()["data"]]
        held = operator.get(f"{TENANTS}/{tenant}").json()["held"]
        assert len(stored) == held["concepts"] == held["avatars"] == 5
        user = next(n for n in range(3) if client.get(f"/v1/users/u{n}/concepts").json()["data"])
        gone = client.get(f"/v1/users/u{user}/concepts").json()["data"][0]["id"]
        assert client.delete(f"/v1/users/u{user}/concepts/{gone}").status_code == 200
        assert client.post("/v1/users/new/concepts", json={**bo(99), "info": "A."}).status_code == 201


def test_limits_per_minute_answer_as_openai_clients_expect(
    service: RunningService, operator: httpx.Client, tenant: str
) -> None:
    """Headers on every answer; 429 with Retry-After past the limit; other tenants are not slowed."""
    operator.patch(f"{TENANTS}/{tenant}", json={"limits": {"requests_per_minute": 6, "tokens_per_minute": 150}})
    with service.client(key_for(operator, tenant)) as client:
        time.sleep(1.5)
        body = {"model": "rap-tiny", "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 90}
        first = client.post("/v1/chat/completions", json=body)
        assert first.status_code == 200
        assert first.headers["x-ratelimit-limit-requests"] == "6"
        assert first.headers["x-ratelimit-remaining-requests"] == "5"
        assert first.headers["x-ratelimit-limit-tokens"] == "150"
        assert int(first.headers["x-ratelimit-remaining-tokens"]) < 65
        answers = [client.get("/v1/models") for _ in range(7)]
        refused = answers[-1]
        assert (refused.status_code, code_of(refused)) == (429, "rate_limit_exceeded")
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert 1 <= int(refused.headers["retry-after"]) <= 11
        assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    with service.client() as another:
        unlimited = another.get("/v1/models")
        assert unlimited.status_code == 200 and "x-ratelimit-limit-requests" not in unlimited.headers


def test_usage_is_counted_per_user_and_kind(service: RunningService, operator: httpx.Client, tenant: str) -> None:
    """Tokens as the answers said."""
    with service.client(key_for(operator, tenant)) as client:
        body = {"model": "rap-tiny", "messages": [{"role": "user", "content": "Hello?"}], "user": "ann"}
        answered = client.post("/v1/chat/completions", json=body).json()["usage"]
        client.post("/v1/users/bea/retrieve", json={"text": "Who is <bo>?"})
        found = client.get("/v1/usage").json()
        assert {(row["user"], row["kind"], row["requests"]) for row in found["data"]} == {
            ("ann", "chat", 1),
            ("bea", "retrieve", 1),
        }
        assert found["totals"]["completion_tokens"] == answered["completion_tokens"]
        assert found["totals"]["prompt_tokens"] == answered["prompt_tokens"]
        assert client.get("/v1/usage", params={"user": "bea"}).json()["totals"]["requests"] == 1
        assert client.get("/v1/usage", params={"from": "yesterday"}).status_code == 400


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (TENANTS, {"id": "a/b"}, 400),
        (TENANTS, {"id": "default"}, 409),
        (TENANTS, {"id": "x", "limits": {"concepts": -1}}, 400),
        (TENANTS, {"id": "x", "surprise": 1}, 400),
        (f"{TENANTS}/nobody/keys", {}, 404),
        (f"{TENANTS}/nobody/users/ann:accept-loss", {}, 404),
        (f"{TENANTS}/default/users/a b:accept-loss", {}, 400),
        (f"{TENANTS}/default/keys", {"scopes": ["root"]}, 400),
        (f"{TENANTS}/default/keys", {"scopes": []}, 400),
        (f"{TENANTS}/default/keys", {"label": "x" * 129}, 400),
        (f"{TENANTS}/default/keys", {"expires_in_seconds": -1}, 400),
        (f"{TENANTS}/default/keys/key_0:rotate", {}, 400),
    ],
)
def test_bad_administration_is_refused(operator: httpx.Client, path: str, body: dict[str, object], status: int) -> None:
    """And changes nothing."""
    assert operator.post(path, json=body).status_code == status


def test_the_command_line_runs_a_tenant(service: RunningService) -> None:
    """Made, limited, given a key, listed, suspended."""
    name = f"cli-{time.time_ns()}"

    def rap(*words: str) -> str:
        command = [sys.executable, "-m", "rap_serve.cli.main", "admin", *words, "--home", str(service.home)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    rap("create", name, "--concepts", "10")
    assert json.loads(rap("limit", name, "--picture-bytes", "5000", "--json"))["limits"]["concepts"] == 10
    key = json.loads(rap("issue", name, "--scopes", "read", "--expires-in", "90d", "--json"))
    with service.client(key["secret"]) as client:
        assert client.get("/v1/models").status_code == 200
        rap("suspend", name)
        time.sleep(1.5)
        assert code_of(client.get("/v1/models")) == "tenant_suspended"
        rap("resume", name)
    assert name in {t["id"] for t in json.loads(rap("tenants", "--json"))}
    assert "key.issue" in rap("audit", "--tenant", name)
    assert key["shown"][:8] in rap("keys", name)
    loss = json.loads(rap("accept-loss", name, "ann", "--yes", "--json"))
    assert (loss["counted"], loss["found"]) == (0, 0)
    rap("revoke", name, key["id"])
    assert "requests" in rap("usage", name)


def test_the_command_line_changes_the_embedder(service: RunningService, operator: httpx.Client) -> None:
    """To the only one that runs, here: everything has been seen by it. Another one is refused, and so is a tenant."""

    def rap(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "rap_serve.cli.main", "admin", *words, "--home", str(service.home)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    (embedder,) = json.loads(rap("embedders", "--json").stdout)
    assert embedder["answers"] and embedder["dim"] > 0
    done = rap("re-embed", "--embedder", embedder["id"], "--grace", "0s", "--json")
    result = json.loads(done.stdout)["result"]
    assert result["switched"] and (result["embedded"], result["unreadable"]) == (0, 0)
    unknown = rap("re-embed", "--embedder", "clip")
    assert unknown.returncode == 1 and embedder["id"] in unknown.stderr.replace("\n", "")
    assert operator.post("/admin/v1/embedders", json={"version": "clip"}).status_code == 400
    with service.client() as client:
        assert client.post("/admin/v1/embedders", json={"version": embedder["id"]}).status_code == 403
