"""Bad input gets a clear 4xx, leaves nothing behind, and hurts nobody."""

import io
import json

import httpx
import pytest
from PIL import Image

from loadtest import drawn
from tests.contract.test_pictures import APNG, GIF, TRUNCATED, png_of_claimed_size

GOOD = drawn.concept("bo", drawn.thing(1), seed=1)
PICTURE = drawn.scene([drawn.thing(1)], seed=2).data_url


def chat(**changes: object) -> dict[str, object]:
    """A chat request that is fine but for ``changes``."""
    content = [{"type": "image_url", "image_url": {"url": PICTURE}}, {"type": "text", "text": "What is this?"}]
    return {"model": "rap-tiny", "messages": [{"role": "user", "content": content}], "max_tokens": 8, **changes}


def with_image(image: str) -> dict[str, object]:
    """The good concept with another picture."""
    return {**GOOD, "avatars": [{"image": image}]}


BAD_CONCEPTS = {
    "text-for-image": (with_image(drawn.data_url(b"hello")), 400, "invalid_image"),
    "zero-bytes": (with_image("data:image/png;base64,"), 400, "invalid_image"),
    "truncated": (with_image(drawn.data_url(TRUNCATED)), 400, "invalid_image"),
    "bomb": (with_image(drawn.data_url(png_of_claimed_size(30_000, 30_000), "png")), 413, "too_large"),
    "gif": (with_image(drawn.data_url(GIF, "gif")), 400, "invalid_image"),
    "apng": (with_image(drawn.data_url(APNG, "png")), 400, "invalid_image"),
    "body": (with_image("data:image/png;base64," + "A" * 20_000_000), 413, "too_large"),
    "loopback": (with_image("https://127.0.0.1/a.jpg"), 400, "image_url_not_allowed"),
    "private": (with_image("https://10.1.2.3/a.jpg"), 400, "image_url_not_allowed"),
    "not-https": (with_image("http://example.com/a.jpg"), 400, "image_url_not_allowed"),
    "unknown-field": ({**GOOD, "colour": "red"}, 400, "unknown_field"),
    "no-name": ({k: v for k, v in GOOD.items() if k != "name"}, 400, "missing_field"),
    "no-avatar": ({**GOOD, "avatars": []}, 400, "invalid_request"),
    "quotes": ({**GOOD, "name": 'bo" or 1==1 or "'}, 400, "invalid_name"),
    "newline": ({**GOOD, "name": "bo\nbo"}, 400, "invalid_name"),
    "box-outside": (
        {**GOOD, "avatars": [{"image": PICTURE, "box_xyxy": [900, 900, 950, 950]}]},
        400,
        "invalid_request",
    ),
    "box-nan": ({**GOOD, "avatars": [{"image": PICTURE, "box_xyxy": ["x", 0, 1, 1]}]}, 400, "invalid_request"),
    "long-info": ({**GOOD, "info": "x" * 5_000}, 413, "too_large"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD_CONCEPTS.values(), ids=BAD_CONCEPTS)
def test_a_bad_concept_is_refused_whole(
    http: httpx.Client, user: str, body: dict[str, object], status: int, code: str
) -> None:
    """Nothing of it is stored, and the next good one is."""
    refused = http.post(f"/v1/users/{user}/concepts", json=body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), refused.text
    assert set(refused.json()["error"]) == {"message", "type", "param", "code"}
    assert http.get(f"/v1/users/{user}/concepts").json()["data"] == []
    assert http.post(f"/v1/users/{user}/concepts", json=GOOD).status_code == 201


HALF = "half \ud800"


def test_half_a_character_is_refused_and_hides_nothing(http: httpx.Client, user: str) -> None:
    """JSON can escape what is no text and no answer could repeat; what is there stays readable."""
    concepts = f"/v1/users/{user}/concepts"
    made = http.post(concepts, json=GOOD).json()
    message = {"role": "user", "content": [{"type": "text", "text": HALF}]}
    for method, path, body in (
        ("PATCH", f"{concepts}/{made['id']}", {"info": HALF}),
        ("PATCH", f"{concepts}/{made['id']}", {"metadata": {"a": HALF}}),
        ("PATCH", f"{concepts}/{made['id']}", {"metadata": {HALF: "a"}}),
        ("POST", concepts, {**GOOD, "name": "rex", "info": HALF}),
        ("POST", f"/v1/users/{user}/retrieve", {"text": HALF}),
        ("POST", "/v1/chat/completions", chat(messages=[{"role": "user", "content": HALF}])),
        ("POST", "/v1/chat/completions", chat(messages=[message])),
    ):
        headers = {"Content-Type": "application/json"}
        refused = http.request(method, path, content=json.dumps(body), headers=headers)
        assert refused.status_code == 400, (path, refused.text)
    (listed,) = http.get(concepts).json()["data"]
    assert (listed["version"], listed["info"]) == (1, made["info"])


BAD_CHATS = {
    "model": (chat(model="gpt-x"), 404, "model_not_found"),
    "field": (chat(logit_bias={}), 400, "unknown_field"),
    "uuid": (
        chat(
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}, "uuid": "x"}]}]
        ),
        400,
        "unknown_field",
    ),
    "cache-salt": (chat(cache_salt="x"), 400, "unknown_field"),
    "rap-field": (chat(rap={"trust_me": True}), 400, "unknown_field"),
    "rap-unknown-concept": (chat(rap={"concepts": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]}), 404, "concept_not_found"),
    "rap-no-concepts": (chat(rap={"concepts": []}), 400, "invalid_request"),
    "rap-many-concepts": (chat(rap={"concepts": ["x"] * 17}), 400, "invalid_request"),
    "rap-concepts-unretrieved": (chat(rap={"concepts": ["x"], "retrieval": False}), 400, "invalid_request"),
    "empty": (chat(messages=[]), 400, "invalid_request"),
    "last-is-assistant": (chat(messages=[{"role": "assistant", "content": "Hi."}]), 400, "invalid_request"),
    "two-pictures": (
        chat(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}] * 2}]),
        400,
        "invalid_request",
    ),
    "user": (chat(user="a/b"), 400, "invalid_name"),
    "temperature": (chat(temperature=9), 400, "invalid_request"),
    "long": (chat(messages=[{"role": "user", "content": "x" * 50_000}]), 413, "too_large"),
    "too-long-for-the-model": (chat(messages=[{"role": "user", "content": "qz " * 5_000}]), 400, "invalid_request"),
}


@pytest.mark.parametrize(("body", "status", "code"), BAD_CHATS.values(), ids=BAD_CHATS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_chat_is_refused_before_the_first_byte(
    http: httpx.Client, body: dict[str, object], status: int, code: str, stream: bool
) -> None:
    """Streaming or not, the status is the error's, and the next good chat is answered."""
    refused = http.post("/v1/chat/completions", json={**body, "stream": stream})
    assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), refused.text
    assert http.post("/v1/chat/completions", json=chat()).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/users/ann/concepts/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "concept_not_found"),
        ("DELETE", "/v1/users/ann/concepts/x' or 1==1", 404, "concept_not_found"),
        ("GET", "/v1/users/a%22b/concepts", 400, "invalid_name"),
        ("GET", "/v1/nothing", 404, "unknown_path"),
        ("GET", "/nothing", 404, "unknown_path"),
        ("PUT", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/gpt-x", 404, "model_not_found"),
        ("GET", "/v1/users/ann/concepts?limit=0", 400, "invalid_request"),
    ],
)
def test_an_address_that_leads_nowhere_says_so(
    http: httpx.Client, method: str, path: str, status: int, code: str
) -> None:
    """In OpenAI's envelope, unmatched routes too."""
    answer = http.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    (request_id,) = answer.headers.get_list("x-request-id")
    assert request_id.startswith("req_")


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer rap_wrong"}, {"Authorization": "Basic x"}])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/nothing", "/v1/users/ann/concepts"])
def test_without_a_key_nothing_is_told(stranger: httpx.Client, header: dict[str, str], path: str) -> None:
    """Not even which paths there are."""
    answer = stranger.get(path, headers=header)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_a_form_works_like_json(http: httpx.Client, user: str) -> None:
    """Multipart: the same fields, files named ``avatar``."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG")
    files = {"avatar": ("a.png", out.getvalue(), "image/png")}
    url = f"/v1/users/{user}/concepts"
    made = http.post(url, data={"name": "<dot>", "info": "A dot.", "box_xyxy": "[1,1,60,60]"}, files=files)
    assert made.status_code == 201 and made.json()["name"] == "dot", made.text
    bad = http.post(url, data={"name": "x", "shape": "round"}, files=files)
    assert bad.json()["error"]["code"] == "invalid_request"
