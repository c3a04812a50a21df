"""Every metric that is documented, shown or alerted on is there, and none of ours is there undocumented."""

import re
import time
from pathlib import Path

import httpx
import pytest

from loadtest import drawn
from tests.monitoring.promtool import used_metrics

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "metrics.md"
EXPORT_SECONDS = 60
ONLY_IN_TROUBLE = {"ray_rap_degraded_total", "ray_rap_rejections_total", "ray_rap_prompts_resent_total"}
"""The first is provoked in test_outages; the others count what a healthy service of one replica never does."""

_ROW = re.compile(r"^\| `(ray_\w+)` \| (\w+) \|(.*?)\|", re.MULTILINE)
_SERIES = re.compile(r"^(\w+)\{(.*)\} ", re.MULTILINE)
_COMMON = {"application", "deployment", "replica"}
_RAYS = {"Component", "NodeAddress", "SessionName", "Version", "WorkerId"}


def documented() -> dict[str, tuple[str, set[str]]]:
    """Type and labels by name."""
    rows = _ROW.findall(DOCUMENT.read_text())
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def exported(text: str) -> dict[str, str]:
    """Type by name."""
    return dict(re.findall(r"^# TYPE (\w+) (\w+)", text, re.MULTILINE))


def labels_of(text: str, name: str) -> set[str]:
    """The labels of a metric's series that are not Ray's."""
    found = {label for key, labels in _SERIES.findall(text) if key.startswith(name) for label in _names(labels)}
    return {label for label in found - _RAYS - {"le"} if not label.startswith("otel_")}


def _names(labels: str) -> list[str]:
    return re.findall(r'(\w+)="', labels)


def _asked(picture: str, user: str, *, question: str = "What is this?") -> dict[str, object]:
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": question}]
    return {"model": "rap-tiny", "user": user, "messages": [{"role": "user", "content": content}], "max_tokens": 8}


@pytest.fixture
def scrape(http: httpx.Client, user: str) -> str:
    """What is exported after an answer, an abstention, and a conversation that the engine refuses."""
    shown, other = drawn.thing(1), drawn.thing(2)
    assert http.post(f"/v1/users/{user}/concepts", json=drawn.concept("bo", shown, 1)).status_code == 201
    picture = drawn.scene([shown], 2).data_url
    for _ in range(2):
        answer = http.post("/v1/chat/completions", json=_asked(picture, user))
        assert answer.status_code == 200 and answer.json()["rap"]["evidence"]
    stranger = http.post("/v1/chat/completions", json=_asked(drawn.scene([other], 3).data_url, f"{user}-2"))
    assert stranger.status_code == 200 and not stranger.json()["rap"]["evidence"]
    refused = http.post("/v1/chat/completions", json=_asked(picture, user, question="word " * 3_000))
    assert refused.status_code == 400, refused.text
    deadline = time.monotonic() + EXPORT_SECONDS
    while missing := documented().keys() - exported(text := http.get("/metrics").text).keys() - ONLY_IN_TROUBLE:
        assert time.monotonic() < deadline, f"not exported: {sorted(missing)}"
        time.sleep(1)
    return text


def test_documentation_and_scrape_say_the_same(scrape: str) -> None:
    """Each documented name is exported with its type and labels; each of ours that is exported is documented."""
    types = exported(scrape)
    ours = {name for name in types if name.startswith("ray_rap_")}
    assert ours - documented().keys() == set()
    for name, (kind, labels) in documented().items():
        if name in types:
            assert types[name] == kind, name
            assert labels <= labels_of(scrape, name), name
            if name in ours:
                assert labels_of(scrape, name) - _COMMON - labels == set(), name


def test_what_dashboards_and_alerts_ask_for_is_documented(scrape: str) -> None:
    """And so it is exported: the scrape is complete only with every documented name in it."""
    assert used_metrics() - documented().keys() == set()
