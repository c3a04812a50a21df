"""What was written is what the next request sees, and only its owner sees it."""

import random

import httpx

from loadtest import drawn
from tests.running_service import RunningService

ROUNDS = 100


def remember(client: httpx.Client, user: str, name: str, seed: int) -> dict[str, object]:
    """A new concept of the user's."""
    made = client.post(f"/v1/users/{user}/concepts", json=drawn.concept(name, drawn.thing(seed), seed))
    assert made.status_code == 201, made.text
    return dict(made.json())


def test_every_edit_and_delete_is_seen_by_the_next_request_of_any_client(service: RunningService, user: str) -> None:
    """Random edits and deletes through one client, read through another."""
    rng = random.Random(3)
    with service.client() as writer, service.client() as reader:
        info = {str(remember(writer, user, f"thing-{i}", i)["id"]): "" for i in range(6)}
        for round_ in range(ROUNDS):
            concept_id = rng.choice(sorted(info))
            address = f"/v1/users/{user}/concepts/{concept_id}"
            if rng.random() < 0.1:
                assert writer.delete(address).json()["deleted"]
                assert reader.get(address).status_code == 404
                del info[concept_id]
                info[str(remember(writer, user, f"new-{round_}", round_)["id"])] = ""
                continue
            info[concept_id] = f"edit {round_}"
            assert writer.patch(address, json={"info": info[concept_id]}).status_code == 200
            assert reader.get(address).json()["info"] == info[concept_id]
        listed = reader.get(f"/v1/users/{user}/concepts", params={"limit": 100}).json()["data"]
        assert {c["id"] for c in listed} == set(info)


def test_a_renamed_concept_is_found_under_its_new_name_at_once(http: httpx.Client, user: str) -> None:
    """In text and in the picture."""
    made = remember(http, user, "old-name", 5)
    picture = drawn.concept("x", drawn.thing(5), 5)["avatars"][0]["image"]
    http.patch(f"/v1/users/{user}/concepts/{made['id']}", json={"name": "new-name"})
    found = http.post(f"/v1/users/{user}/retrieve", json={"image": picture, "text": "is new-name here?"}).json()
    assert {e["name"] for e in found["evidence"]} == {"new-name"}
    assert {c["name"] for r in found["regions"] for c in r["candidates"]} == {"new-name"}


def test_an_edit_of_an_old_version_is_refused(http: httpx.Client, user: str) -> None:
    """``If-Match`` protects against lost updates."""
    made = http.post(f"/v1/users/{user}/concepts", json=drawn.concept("bo", drawn.thing(1), 1))
    address = f"/v1/users/{user}/concepts/{made.json()['id']}"
    first = http.patch(address, json={"info": "one"}, headers={"If-Match": made.headers["etag"]})
    assert first.status_code == 200 and first.headers["etag"] == '"2"'
    stale = http.patch(address, json={"info": "two"}, headers={"If-Match": made.headers["etag"]})
    assert (stale.status_code, stale.json()["error"]["code"]) == (412, "version_mismatch")
    assert http.get(address).json()["info"] == "one"


def test_a_name_is_taken_once_per_owner(http: httpx.Client, other_tenant: httpx.Client, user: str) -> None:
    """Another user and another tenant may use it too."""
    remember(http, user, "bo", 1)
    again = http.post(f"/v1/users/{user}/concepts", json=drawn.concept("BO", drawn.thing(2), 2))
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")
    remember(http, f"{user}-b", "bo", 1)
    remember(other_tenant, user, "bo", 1)


def test_owners_never_see_each_other(http: httpx.Client, other_tenant: httpx.Client, user: str) -> None:
    """The same picture in three memories is three concepts; each finds its own only."""
    picture = drawn.concept("x", drawn.thing(9), 9)["avatars"][0]["image"]
    owners = {(http, user), (http, f"{user}-b"), (other_tenant, user)}
    ids = {(c, u): remember(c, u, "mine", 9)["id"] for c, u in owners}
    for (client, owner), concept_id in ids.items():
        found = client.post(f"/v1/users/{owner}/retrieve", json={"image": picture, "text": "mine"}).json()
        assert {c["concept_id"] for r in found["regions"] for c in r["candidates"]} == {concept_id}
        for foreign in set(ids.values()) - {concept_id}:
            assert client.get(f"/v1/users/{owner}/concepts/{foreign}").status_code == 404
            assert client.delete(f"/v1/users/{owner}/concepts/{foreign}").status_code == 404


def test_a_lookalike_is_stored_with_a_warning(http: httpx.Client, user: str) -> None:
    """The warning names the other concept and how similar it is."""
    first = remember(http, user, "first", 4)
    second = remember(http, user, "second", 4)
    (warning,) = second["warnings"]
    assert (warning["code"], warning["concept_id"]) == ("lookalike", first["id"])
    assert warning["similarity"] > 0.9


def test_concepts_come_in_pages(http: httpx.Client, user: str) -> None:
    """Oldest first, each once."""
    names = [remember(http, user, f"page-{i}", i)["name"] for i in range(5)]
    seen, after = [], None
    while True:
        page = http.get(f"/v1/users/{user}/concepts", params={"limit": 2, **({"after": after} if after else {})}).json()
        seen += [c["name"] for c in page["data"]]
        if not page["has_more"]:
            break
        after = page["last_id"]
    assert seen == names


def test_avatars_can_be_added_and_taken_away_but_for_the_last(http: httpx.Client, user: str) -> None:
    """A concept is never without a picture."""
    made = remember(http, user, "bo", 1)
    address = f"/v1/users/{user}/concepts/{made['id']}"
    more = drawn.concept("x", drawn.thing(1), 7)["avatars"][0]
    added = http.post(f"{address}/avatars", json=more)
    assert added.status_code == 201 and len(added.json()["avatars"]) == 2
    first, second = (a["id"] for a in added.json()["avatars"])
    assert http.delete(f"{address}/avatars/{first}").json()["avatars"][0]["id"] == second
    assert http.delete(f"{address}/avatars/{second}").status_code == 400
    assert http.delete(f"{address}/avatars/{first}").status_code == 404


def test_what_a_concept_said_before_stays_readable(http: httpx.Client, other_tenant: httpx.Client, user: str) -> None:
    """Newest first, in pages, for its owner alone; deleted with the concept."""
    made = remember(http, user, "bo", 1)
    address = f"/v1/users/{user}/concepts/{made['id']}"
    for info in ("one", "two"):
        assert http.patch(address, json={"info": info}).status_code == 200
    whole = http.get(f"{address}/history").json()
    assert [(v["version"], v["info"]) for v in whole["data"]] == [(3, "two"), (2, "one"), (1, made["info"])]
    assert all(v["object"] == "concept.version" and len(v["avatar_ids"]) == 1 for v in whole["data"])
    assert (whole["object"], whole["has_more"], whole["last_id"]) == ("list", False, "1")
    first = http.get(f"{address}/history", params={"limit": 2}).json()
    assert first["has_more"] and first["last_id"] == "2"
    rest = http.get(f"{address}/history", params={"limit": 2, "after": first["last_id"]}).json()
    assert first["data"] + rest["data"] == whole["data"] and not rest["has_more"]
    assert other_tenant.get(f"{address}/history").status_code == 404
    http.delete(address)
    answer = http.get(f"{address}/history")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "concept_not_found")
