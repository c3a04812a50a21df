"""``POST /v1/chat/completions`` and ``GET /v1/models``, as OpenAI's clients speak them."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Send

from rap_serve.api.deps import TimingsDep, UseCases, UseCasesDep, api_metrics, tenant
from rap_serve.api.errors import envelope, status_of
from rap_serve.api.schemas import ChatBody, ImageContent, MessageBody, StreamOptions, TextContent, rap_json
from rap_serve.domain.chat import Delta, Sampling, Usage
from rap_serve.domain.concept import Owner
from rap_serve.domain.deadline import current, enforced
from rap_serve.domain.errors import InvalidInput, ModelNotFound, RapError, TooLarge
from rap_serve.services.answer import Answering, Ask, Message, first_then_rest
from rap_serve.services.throttle import Charge, refusal
from rap_serve.services.timings import Timings

router = APIRouter(tags=["chat"])
_STARTED = int(time.time())


@router.get("/v1/models")
async def models(cases: UseCasesDep) -> dict[str, Any]:
    """The models that answer here."""
    return {"object": "list", "data": [_model_json(cases.model)]}


@router.get("/v1/models/{model:path}")
async def model(model: str, cases: UseCasesDep) -> dict[str, Any]:
    """One model."""
    if model != cases.model:
        raise ModelNotFound(f"There is no model {model!r} here; there is {cases.model!r}.")
    return _model_json(cases.model)


@router.post("/v1/chat/completions")
async def chat(body: ChatBody, request: Request, cases: UseCasesDep, timings: TimingsDep) -> Response:
    """An answer that knows the user's concepts; ``rap`` says what it rests on."""
    timings.until_now("arrival")
    owner = Owner(tenant(request), body.user)
    async with enforced(current()):
        ask = await _ask(body, owner, request.state.request_id, cases, timings)
        charge = await _charged(owner, ask, request, cases)
        try:
            answering = await first_then_rest(await cases.answer(owner, ask))
        except BaseException:
            await cases.throttle.settle(charge, 0)
            raise
    request.state.slot.answering()
    api_metrics(request).answer_began(answering.retrieval, seconds=time.perf_counter() - request.state.started)
    answering = replace(answering, deltas=_counted(answering.deltas, owner, charge, cases))
    head = {"id": f"chatcmpl-{request.state.request_id}", "created": int(time.time()), "model": body.model}
    if body.stream:
        return _ClosedStream(_events(answering, head, _stream_options(body)), media_type="text/event-stream")
    return JSONResponse(await _completion(answering, head))


class _ClosedStream(StreamingResponse):
    """A stream whose pieces are ended with it: a client that goes away between two of them waits for no collector."""

    async def stream_response(self, send: Send) -> None:
        """Sends all of it."""
        async with aclosing(cast(AsyncGenerator[str, None], self.body_iterator)):
            await super().stream_response(send)


async def _ask(body: ChatBody, owner: Owner, request_id: str, cases: UseCases, timings: Timings) -> Ask:
    if len(body.messages) > cases.limits.messages:
        raise TooLarge(f"A conversation has at most {cases.limits.messages} messages.")
    with timings("decode"):
        messages = tuple([await _message(m, owner, cases) for m in body.messages])
    if sum(len(m.text) for m in messages) > cases.limits.text_characters:
        raise TooLarge(f"A conversation has at most {cases.limits.text_characters:,} characters of text.")
    return Ask(
        messages=messages,
        model=body.model,
        request_id=request_id,
        sampling=_sampling(body, cases.max_tokens),
        retrieval=body.rap.retrieval,
        max_evidence=body.rap.top_k,
        concepts=None if body.rap.concepts is None else tuple(body.rap.concepts),
        task=body.rap.task,
        timings=timings,
    )


async def _charged(owner: Owner, ask: Ask, request: Request, cases: UseCases) -> Charge:
    """Takes the tokens that the answer may come to; raises RateLimited."""
    characters = sum(len(m.text) for m in ask.messages)
    charge = await cases.throttle.tokens(owner.tenant, characters, ask.sampling.max_tokens)
    if charge.allowance is not None:
        request.state.allowances["tokens"] = charge.allowance
        if charge.allowance.retry_in is not None:
            raise refusal("tokens", charge.allowance)
    return charge


async def _counted(
    deltas: AsyncGenerator[Delta, None], owner: Owner, charge: Charge, cases: UseCases
) -> AsyncGenerator[Delta, None]:
    """The same pieces; at their end, however it comes, what they took is counted."""
    usage, pieces = None, 0
    try:
        async with aclosing(deltas):
            async for delta in deltas:
                usage, pieces = delta.usage or usage, pieces + 1
                yield delta
    finally:
        taken = usage or Usage(0, pieces)  # cut off: about a token a piece, its prompt unknown
        cases.meter.count(owner, "chat", taken)
        await asyncio.shield(cases.throttle.settle(charge, taken.prompt_tokens + taken.completion_tokens))


def _sampling(body: ChatBody, max_tokens: int) -> Sampling:
    wanted = body.max_completion_tokens or body.max_tokens or max_tokens
    return Sampling(
        max_tokens=min(wanted, max_tokens),
        temperature=body.temperature or 0.0,
        top_p=body.top_p or 1.0,
        seed=body.seed,
        stop=tuple(body.stop),
        whole=not body.stream,
        usage_along=_usage_along(_stream_options(body)),
    )


def _stream_options(body: ChatBody) -> StreamOptions:
    return body.stream_options or StreamOptions()


def _usage_along(options: StreamOptions) -> bool:
    return options.include_usage and options.continuous_usage_stats


async def _message(body: MessageBody, owner: Owner, cases: UseCases) -> Message:
    role = "system" if body.role == "developer" else body.role
    if isinstance(body.content, str):
        return Message(role, body.content)
    text = "\n".join(p.text for p in body.content if isinstance(p, TextContent))
    images = [p.image_url.url for p in body.content if isinstance(p, ImageContent)]
    if len(images) > 1 or (images and role != "user"):
        raise InvalidInput("A user message holds at most one picture, other messages none.")
    return Message(role, text, await cases.asked(owner, images[0]) if images else None)


async def _completion(answering: Answering, head: dict[str, Any]) -> dict[str, Any]:
    texts, reason, usage = [], "stop", Usage(0, 0)
    async with aclosing(answering.deltas) as deltas:
        async for delta in deltas:
            texts.append(delta.text)
            reason = delta.finish_reason or reason
            usage = delta.usage or usage
    message = {"role": "assistant", "content": "".join(texts).strip()}
    return {
        **head,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": _usage_json(usage),
        "rap": rap_json(answering.retrieval),
    }


async def _events(answering: Answering, head: dict[str, Any], options: StreamOptions) -> AsyncGenerator[str, None]:
    """Server-sent events. ``rap`` rides on the last chunk; an error after the first token is an event too."""
    chunk = {**head, "object": "chat.completion.chunk"}
    rap = {"rap": rap_json(answering.retrieval)}
    usage, along = None, _usage_along(options)
    try:
        yield _event({**chunk, "choices": [_choice({"role": "assistant", "content": ""})]})
        async with aclosing(answering.deltas) as deltas:
            async for delta in deltas:
                usage = delta.usage or usage
                used = {"usage": _usage_json(usage)} if usage and along else {}
                for piece in _choices(delta):
                    last = piece["finish_reason"] is not None and not options.include_usage
                    yield _event({**chunk, "choices": [piece], **used, **(rap if last else {})})
    except RapError as error:
        yield _event(envelope(str(error), status=status_of(error), code=error.code))
        return
    if options.include_usage:
        yield _event({**chunk, "choices": [], "usage": _usage_json(usage or Usage(0, 0)), **rap})
    yield "data: [DONE]\n\n"


def _choices(delta: Delta) -> Iterable[dict[str, Any]]:
    if delta.text:
        yield _choice({"content": delta.text})
    if delta.finish_reason:
        yield _choice({}, delta.finish_reason)


def _choice(delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}


def _event(payload: dict[str, Any]) -> str:
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n"


def _usage_json(usage: Usage) -> dict[str, int]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _model_json(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "rap-serve"}
