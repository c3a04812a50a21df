"""vLLM's events as pieces of an answer."""

import json
import re

import pytest
from PIL import Image

from rap_serve.adapters.vllm import chat_request, deltas, handles_regex, whole
from rap_serve.domain.chat import Delta, Sampling, Usage
from rap_serve.domain.errors import InvalidInput, Overloaded, Unavailable
from rap_serve.domain.prompt import TextPart
from rap_serve.domain.sent import SentPicture, SentTurn, picture_key


def event(**payload: object) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(payload)}\n\n"


def test_an_answer_is_text_then_reason_then_usage() -> None:
    """Several events may come as one string."""
    first = event(choices=[{"delta": {"role": "assistant", "content": ""}}]) + event(
        choices=[{"delta": {"content": "Bo"}}]
    )
    last = event(choices=[{"delta": {"content": "."}, "finish_reason": "length"}])
    usage = event(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2})
    assert list(deltas([first, last, usage, "data: [DONE]\n\n"])) == [
        Delta("Bo"),
        Delta(".", finish_reason="length"),
        Delta(usage=Usage(7, 2)),
    ]


def test_a_piece_may_say_what_was_used_so_far() -> None:
    """It stays one piece; the chunk that only has usage is one of its own."""
    assert chat_request([], {}, Sampling(usage_along=True), model="m", cache_salt="s")["stream_options"] == {
        "include_usage": True,
        "continuous_usage_stats": True,
    }
    used = [{"prompt_tokens": 7, "completion_tokens": n} for n in (1, 2)]
    first = event(choices=[{"delta": {"content": "Bo"}}], usage=used[0])
    last = event(choices=[{"delta": {"content": "."}, "finish_reason": "stop"}], usage=used[1])
    assert list(deltas([first, last, event(choices=[], usage=used[1])])) == [
        Delta("Bo", usage=Usage(7, 1)),
        Delta(".", finish_reason="stop", usage=Usage(7, 2)),
        Delta(usage=Usage(7, 2)),
    ]


def test_an_answer_that_is_wanted_whole_is_one_piece() -> None:
    """The engine then makes no events, and one message crosses the cluster."""
    assert "stream_options" not in chat_request([], {}, Sampling(whole=True), model="m", cache_salt="s")
    answer = {
        "choices": [{"message": {"content": "Bo."}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }
    assert whole(answer) == Delta("Bo.", finish_reason="length", usage=Usage(7, 2))


@pytest.mark.parametrize(("code", "kind"), [(400, InvalidInput), (429, Overloaded), (500, Unavailable)])
def test_an_error_of_the_engine_keeps_its_meaning(code: int, kind: type[Exception]) -> None:
    """A prompt that does not fit is the caller's to mend, a dead engine is not."""
    with pytest.raises(kind):
        list(deltas([event(error={"message": "m", "code": code})]))
    with pytest.raises(kind):
        whole({"error": {"message": "m", "code": code}})


def test_pictures_stay_where_they_are_between_the_texts() -> None:
    """The engine gets parts in the prompt's order, each picture decoded and under its key."""
    image = Image.new("RGB", (2, 2))
    turn = SentTurn("user", (SentPicture("k", None), TextPart("\nWhat?")))
    request = chat_request([turn], {"k": image}, Sampling(seed=1), model="m", cache_salt="s")
    content = request["messages"][0]["content"]
    assert content == [{"type": "image_pil", "image_pil": image, "uuid": "k"}, {"type": "text", "text": "\nWhat?"}]


def test_the_engine_keeps_the_pictures_of_owners_apart() -> None:
    """What it caches of a picture is found again by its owner alone, so that nobody can time what others have sent."""
    assert picture_key("ann", "p") == picture_key("ann", "p")
    assert len({picture_key("ann", "p"), picture_key("ann", "q"), picture_key("bob", "p")}) == 3


@pytest.mark.parametrize(
    ("answer", "allowed"),
    [
        ("This is <bo>, a dog.\nHe sits.", True),
        ("<mr. fluff> and <bo>", True),
        ("None of them.", True),
        ("", True),
        ("This is <boo>.", False),
        ("This is <b", False),
        ("1 < 2", False),
        ("<mrX fluff>", False),
    ],
)
def test_an_answer_can_hold_only_the_names_of_its_evidence(answer: str, allowed: bool) -> None:
    """Every bracket opens an allowed name, letter by letter."""
    assert bool(re.fullmatch(handles_regex(("<bo>", "<mr. fluff>", "‹image>")), answer)) is allowed
