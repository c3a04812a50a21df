"""Idempotency keys, filters, archives and erasure over HTTP and from the command line."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtest import drawn
from tests.running_service import ROOT, RunningService


def bo(**fields: object) -> dict[str, object]:
    """Something to remember."""
    return {**drawn.concept("bo", drawn.thing(1), 1), "info": "A mug.", **fields}


def key() -> dict[str, str]:
    """An idempotency key that was never used."""
    return {"Idempotency-Key": f"key-{time.time_ns()}"}


def ended(http: httpx.Client, started: httpx.Response) -> dict[str, Any]:
    """The job at its end."""
    assert started.status_code == 202, started.text
    for _ in range(600):
        job: dict[str, Any] = http.get(started.headers["location"]).json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.1)
    raise TimeoutError(job)


def test_a_write_that_is_sent_again_is_done_once_and_answered_again(http: httpx.Client, user: str) -> None:
    """Word for word, with a header that says so; the same key with something else is refused."""
    headers, path = key(), f"/v1/users/{user}/concepts"
    first = http.post(path, json=bo(), headers=headers)
    again = http.post(path, json=bo(), headers=headers)
    assert (first.status_code, again.status_code) == (201, 201) and first.json() == again.json()
    assert again.headers["idempotent-replayed"] == "true" and again.headers["etag"] == first.headers["etag"]
    other = http.post(path, json=bo(info="Another."), headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert len(http.get(path).json()["data"]) == 1


def test_every_kind_of_write_takes_a_key(http: httpx.Client, user: str) -> None:
    """Edits count one version, deletions succeed twice, refusals are repeated."""
    path = f"/v1/users/{user}/concepts"
    concept = http.post(path, json=bo()).json()
    address = f"{path}/{concept['id']}"
    for method, body, status in (
        ("PATCH", {"info": "New."}, 200),
        ("PUT", bo(info="Newer."), 200),
        ("DELETE", None, 200),
    ):
        headers = key()
        answers = [http.request(method, address, json=body, headers=headers) for _ in range(2)]
        assert [a.status_code for a in answers] == [status] * 2 and answers[0].json() == answers[1].json()
    headers = key()
    bad = [http.post(path, json={"name": "<"}, headers=headers) for _ in range(2)]
    assert [a.status_code for a in bad] == [400, 400] and bad[1].headers["idempotent-replayed"] == "true"
    assert http.post(path, json=bo(), headers={"Idempotency-Key": "x" * 256}).status_code == 400


def test_a_crowd_with_one_key_writes_once(http: httpx.Client, user: str) -> None:
    """Who comes while it is done is told to come again."""
    headers, path = key(), f"/v1/users/{user}/concepts"
    with ThreadPoolExecutor(8) as crowd:
        answers = list(crowd.map(lambda _: http.post(path, json=bo(), headers=headers), range(8)))
    assert {a.status_code for a in answers} <= {201, 409}
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} <= {"idempotency_key_in_use"}
    assert http.post(path, json=bo(), headers=headers).status_code == 201
    assert len(http.get(path).json()["data"]) == 1


def test_a_form_that_is_sent_again_is_known_again(http: httpx.Client, user: str) -> None:
    """Though its boundary is another."""
    headers, path = key(), f"/v1/users/{user}/concepts"
    picture = drawn.jpeg(drawn.scene([drawn.thing(1)], 1).image)
    fields = {"name": "bo", "info": "A mug."}
    answers = [http.post(path, data=fields, files={"avatar": picture}, headers=headers) for _ in range(2)]
    assert [a.status_code for a in answers] == [201, 201] and answers[0].json()["id"] == answers[1].json()["id"]


def test_keys_of_tenants_are_apart(http: httpx.Client, other_tenant: httpx.Client, user: str) -> None:
    """The same key means nothing to another."""
    headers, path = key(), f"/v1/users/{user}/concepts"
    mine, theirs = (c.post(path, json=bo(), headers=headers).json() for c in (http, other_tenant))
    assert mine["id"] != theirs["id"]


def test_lists_are_filtered_by_what_is_known_and_by_nothing_else(http: httpx.Client, user: str) -> None:
    """A misspelt filter is refused rather than passed over."""
    path = f"/v1/users/{user}/concepts"
    http.post(path, json=bo(category="mug"))
    assert len(http.get(path, params={"category": "mug", "name": "bo"}).json()["data"]) == 1
    assert http.get(path, params={"category": "dog"}).json()["data"] == []
    refused = http.get(path, params={"catgory": "mug"})
    assert refused.status_code == 400 and "catgory" in refused.json()["error"]["message"]


def test_a_concept_tells_its_history(http: httpx.Client, user: str) -> None:
    """Newest first, in pages; gone with the concept."""
    path = f"/v1/users/{user}/concepts"
    address = f"{path}/{http.post(path, json=bo()).json()['id']}"
    for number in range(3):
        http.patch(address, json={"info": f"Info {number}."})
    found = http.get(f"{address}/history", params={"limit": 3}).json()
    assert [v["info"] for v in found["data"]] == ["Info 2.", "Info 1.", "Info 0."] and found["has_more"]
    rest = http.get(f"{address}/history", params={"after": found["last_id"]}).json()
    assert [v["version"] for v in rest["data"]] == [1]
    http.delete(address)
    assert http.get(f"{address}/history").status_code == 404


def test_a_correction_is_heeded_until_it_is_withdrawn(http: httpx.Client, user: str) -> None:
    """What was taken for Bo is nobody then, and Bo is Bo throughout."""
    path = f"/v1/users/{user}"
    first, second = drawn.scene([drawn.thing(1)], 1), drawn.scene([drawn.thing(1)], 2)
    made = http.post(f"{path}/concepts", json=bo()).json()

    def named(scene: drawn.Drawn) -> list[str]:
        found = http.post(f"{path}/retrieve", json={"image": scene.data_url, "boxes_xyxy": scene.boxes}).json()
        return [e["name"] for e in found["evidence"]]

    assert named(first) == named(second) == ["bo"]
    body = {"concept_id": made["id"], "image": second.data_url, "box_xyxy": second.boxes[0]}
    correction = http.post(f"{path}/corrections", json=body)
    assert correction.status_code == 201, correction.text
    assert named(second) == [] and named(first) == ["bo"]
    listed = http.get(f"{path}/corrections").json()["data"]
    assert [c["concept_id"] for c in listed] == [made["id"]] == [correction.json()["concept_id"]]
    assert len(http.get(f"{path}/concepts/{made['id']}").json()["avatars"]) == 1
    assert http.delete(f"{path}/corrections/{correction.json()['id']}").status_code == 200
    assert named(second) == ["bo"]
    for call in (
        http.post(f"{path}/corrections", json={**body, "concept_id": "nobody"}),
        http.delete(f"{path}/corrections/{correction.json()['id']}"),
    ):
        assert call.status_code == 404


def test_raps_database_travels_there_and_back(http: httpx.Client, user: str, photographs: Path, tmp_path: Path) -> None:
    """28 real concepts in, out, and in again elsewhere: the same answers."""
    archive = tmp_path / "rap.zip"
    subprocess.run([sys.executable, "-m", "zipfile", "-c", archive, *sorted(photographs.iterdir())], check=True)
    taken = ended(http, http.post(f"/v1/users/{user}/concepts:import", content=archive.read_bytes(), headers=ZIP))
    assert taken["result"]["failed"] == 0 and taken["result"]["added"] == taken["total"] >= 28, taken
    exported = ended(http, http.post(f"/v1/users/{user}/concepts:export"))
    pack = http.get(f"/v1/jobs/{exported['id']}/archive").content
    ended(http, http.post(f"/v1/users/{user}-2/concepts:import", content=pack, headers=ZIP))
    listed = [
        sorted(
            (c["name"], c["category"])
            for c in http.get(f"/v1/users/{u}/concepts", params={"limit": 100}).json()["data"]
        )
        for u in (user, f"{user}-2")
    ]
    assert listed[0] == listed[1] and len(listed[0]) == taken["total"]


ZIP = {"Content-Type": "application/zip"}


def test_bad_archives_are_refused(http: httpx.Client, user: str) -> None:
    """At once, before any job."""
    path = f"/v1/users/{user}/concepts:import"
    for content, headers in ((b"nonsense", ZIP), (b"", ZIP), (b"{}", {"Content-Type": "application/json"})):
        assert http.post(path, content=content, headers=headers).status_code == 400
    assert http.get("/v1/jobs/job_0").status_code == 404
    assert http.get("/v1/jobs/job_0/archive").status_code == 404


def test_an_erased_user_is_gone_for_every_request_that_follows(
    http: httpx.Client, other_tenant: httpx.Client, user: str
) -> None:
    """With a receipt; others keep what is theirs, and other tenants do not see the job."""
    path = f"/v1/users/{user}/concepts"
    concept = http.post(path, json=bo(), headers=key()).json()
    other_tenant.post(path, json=bo())
    started = http.delete(f"/v1/users/{user}")
    assert http.get(path).json()["data"] == []
    assert http.get(f"{path}/{concept['id']}").status_code == 404
    job = ended(http, started)
    assert job["result"]["state"] == "purged"
    assert job["result"]["receipt"]["memory"] == {"concepts": 1, "avatars": 1}
    assert job["result"]["receipt"]["idempotency_replies"] == {"replies": 1}
    assert len(other_tenant.get(path).json()["data"]) == 1
    assert other_tenant.get(f"/v1/jobs/{job['id']}").status_code == 404
    assert http.post(path, json=bo()).status_code == 201


@pytest.mark.parametrize("command", [["export", "{file}"], ["erase", "--yes"]])
def test_the_command_line_follows_jobs(
    service: RunningService, http: httpx.Client, user: str, tmp_path: Path, command: list[str]
) -> None:
    """To their end."""
    http.post(f"/v1/users/{user}/concepts", json=bo())
    words = [w.format(file=tmp_path / "ann.zip") for w in command]
    line = [sys.executable, "-m", "rap_serve.cli.main", *words, "--user", user, "--json", "--home", str(service.home)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "done"
