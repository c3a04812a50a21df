"""What is cached may go away; what was acknowledged may not."""

import time

import httpx
import pytest

from loadtest import drawn
from tests.conftest import RealRedis
from tests.running_service import RunningService

RECOVERY_SECONDS = 20
EXPORT_SECONDS = 30


def chat(client: httpx.Client, user: str, picture: str) -> dict[str, object]:
    """An answered question about a picture."""
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "What is this?"}]
    body = {"model": "rap-tiny", "user": user, "messages": [{"role": "user", "content": content}], "max_tokens": 8}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["rap"])


def test_answers_go_on_without_redis_and_say_so(
    service: RunningService, http: httpx.Client, service_redis: RealRedis, user: str
) -> None:
    """Killed, ``degraded`` names the cache and edits are still seen; back again, the cache is used again."""
    made = http.post(f"/v1/users/{user}/concepts", json=drawn.concept("bo", drawn.thing(1), 1)).json()
    picture = drawn.scene([drawn.thing(1)], 2).data_url
    assert chat(http, user, picture)["cache"] == "miss"
    assert chat(http, user, picture)["cache"] == "hit"
    service_redis.kill()
    try:
        for round_ in range(3):
            without = chat(http, user, picture)
            assert without["degraded"] == ["cache"] and without["cache"] == "bypass"
            address = f"/v1/users/{user}/concepts/{made['id']}"
            assert http.patch(address, json={"info": f"edit {round_}"}).status_code == 200
            assert http.get(address).json()["info"] == f"edit {round_}"
    finally:
        service_redis.start()
    deadline = time.monotonic() + RECOVERY_SECONDS
    while chat(http, user, picture)["cache"] != "hit":
        assert time.monotonic() < deadline, "the cache was not taken into use again"
        time.sleep(0.5)
    assert http.get(f"/v1/users/{user}/concepts/{made['id']}").json()["info"] == "edit 2"
    deadline = time.monotonic() + EXPORT_SECONDS
    while 'part="cache"' not in http.get("/metrics").text.partition("\nray_rap_degraded_total{")[2].partition("\n")[0]:
        assert time.monotonic() < deadline, "answers without the cache were not counted"
        time.sleep(1)


@pytest.mark.slow
def test_acknowledged_concepts_survive_the_death_of_every_process(service: RunningService, user: str) -> None:
    """kill -9 right after the last acknowledgement, then ``rap up`` on the same home."""
    with service.client() as client:
        names = []
        for i in range(20):
            made = client.post(f"/v1/users/{user}/concepts", json=drawn.concept(f"thing-{i}", drawn.thing(i), i))
            assert made.status_code == 201, made.text
            names.append(made.json()["name"])
    assert service.kill_everything() > 5
    service.start()
    with service.client() as client:
        found = client.get(f"/v1/users/{user}/concepts", params={"limit": 100}).json()["data"]
    assert [c["name"] for c in found] == names
