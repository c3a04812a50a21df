"""Conversations as vLLM's OpenAI server takes them, and its events as pieces of an answer.

Used inside the engine's replica, where pictures are decoded already: none of them becomes base64.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from rap_serve.domain.chat import Delta, FinishReason, Sampling, Usage
from rap_serve.domain.errors import InvalidInput, Overloaded, RapError, Unavailable
from rap_serve.domain.prompt import TextPart
from rap_serve.domain.sent import SentPart, SentTurn

_EVENT = "data: "
_DONE = "[DONE]"
_ERROR_BY_STATUS: dict[int, type[RapError]] = {
    400: InvalidInput,
    413: InvalidInput,
    422: InvalidInput,
    429: Overloaded,
}


def chat_request(
    turns: Sequence[SentTurn], pictures: Mapping[str, Image.Image], sampling: Sampling, *, model: str, cache_salt: str
) -> dict[str, Any]:
    """The fields of vLLM's ``ChatCompletionRequest``; where it streams, usage comes last.

    ``pictures``: those of ``turns`` by key.

    ``cache_salt`` keeps what the engine caches of one owner's prompts from being timed by another; so do the keys of
    what it caches of pictures.
    """
    request: dict[str, Any] = {
        "model": model,
        "messages": [{"role": t.role, "content": [_content(p, pictures) for p in t.parts]} for t in turns],
        "max_completion_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stream": not sampling.whole,
        "cache_salt": cache_salt,
    }
    if not sampling.whole:
        request["stream_options"] = {"include_usage": True, "continuous_usage_stats": sampling.usage_along}
    if sampling.stop:
        request["stop"] = list(sampling.stop)
    if sampling.seed is not None:
        request["seed"] = sampling.seed
    if sampling.handles is not None:
        request["structured_outputs"] = {"regex": handles_regex(sampling.handles)}
    return request


def _content(part: SentPart, pictures: Mapping[str, Image.Image]) -> dict[str, Any]:
    """``uuid``: what the engine caches a picture under; left out, equal pictures of all owners would share an entry.

    The engine looks at the pixels only where it has nothing under that name. It would take the name alone too, but
    fails where it has just forgotten the picture.
    """
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    return {"type": "image_pil", "image_pil": pictures[part.key], "uuid": part.key}


def handles_regex(handles: Sequence[str]) -> str:
    """What an answer looks like in which every bracket opens one of ``handles``, such as ``<bo>``."""
    alternatives = "|".join(["[^<]", *(re.escape(h) for h in handles if h.startswith("<"))])
    return f"({alternatives})*"


def deltas(events: Iterable[str]) -> Iterator[Delta]:
    """The pieces in server-sent ``events``; one may hold several ``data:`` lines. Raises what the engine reports."""
    for event in events:
        for line in event.splitlines():
            if line.startswith(_EVENT) and line != _EVENT + _DONE:
                yield from _pieces(json.loads(line.removeprefix(_EVENT)))


def whole(answer: dict[str, Any]) -> Delta:
    """The one piece of an answer that was not streamed. Raises what the engine reports instead."""
    _raise_for_error(answer)
    choice, usage = answer["choices"][0], answer["usage"]
    reason: FinishReason = "length" if choice["finish_reason"] == "length" else "stop"
    return Delta(
        choice["message"]["content"] or "",
        finish_reason=reason,
        usage=Usage(usage["prompt_tokens"], usage["completion_tokens"]),
    )


def _pieces(chunk: dict[str, Any]) -> Iterator[Delta]:
    _raise_for_error(chunk)
    used = chunk.get("usage")
    usage = Usage(used["prompt_tokens"], used["completion_tokens"]) if used else None
    for choice in chunk.get("choices", ()):
        text, reason = choice["delta"].get("content") or "", choice.get("finish_reason")
        if text or reason:
            ended: FinishReason | None = "length" if reason == "length" else "stop" if reason else None
            yield Delta(text, finish_reason=ended, usage=usage)
    if usage and not chunk.get("choices"):
        yield Delta(usage=usage)


def _raise_for_error(payload: dict[str, Any]) -> None:
    if "error" in payload:
        raise engine_error(int(payload["error"].get("code") or 500), str(payload["error"].get("message", "")))


def engine_error(status: int, message: str) -> RapError:
    """What an error of the engine means to the caller."""
    kind = _ERROR_BY_STATUS.get(status, Unavailable)
    if kind is InvalidInput:
        return InvalidInput(f"The model refuses this conversation: {message}")
    return kind("The model cannot answer right now; try again.")
