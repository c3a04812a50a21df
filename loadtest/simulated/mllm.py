"""The sleeping engine in the place of the MLLM: its deployment, called as ours around vLLM is."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from ray import serve
from ray.serve import Application
from ray.serve.config import RequestRouterConfig
from ray.serve.metrics import Counter

from deployments.options import serve_options
from loadtest.simulated.engine import Costs, Prompt, SleepingEngine, Work
from loadtest.simulated.memory import Token
from loadtest.simulated.routers import ROUTERS
from rap_serve.adapters.held_pictures import HeldPictures
from rap_serve.domain.chat import Delta, Sampling, Usage
from rap_serve.domain.deadline import Deadline, until
from rap_serve.domain.sent import Lacking, SentPicture, SentTurn, joined
from rap_serve.observability.origin import Origin
from rap_serve.settings import MllmSettings, TracingSettings

CHARACTERS_PER_TOKEN = 4


class SimulatedMllm:
    """Answers each question after the time it would take, naming what it may name."""

    def __init__(self, costs: Costs, settings: MllmSettings) -> None:
        self._costs = costs
        self._held = HeldPictures(max_bytes=settings.picture_bytes, idle_seconds=settings.picture_seconds)
        self._engine = SleepingEngine(costs)
        self._metrics = _Metrics()

    async def answer(
        self,
        turns: tuple[SentTurn, ...],
        sampling: Sampling,
        *,
        model: str,
        cache_salt: str,
        request_id: str,
        deadline: Deadline,
        origin: Origin,
    ) -> AsyncGenerator[Delta | Lacking, None]:
        """The pieces of an answer, a token each; only what is lacking, where that is a picture."""
        deadline.require()
        pictures = await self._held.taken_in(turns)
        if isinstance(pictures, Lacking):
            yield pictures
            return
        prompt = _prompt(turns, cache_salt, self._costs.picture_tokens)
        length = min(sampling.max_tokens, self._costs.answer_tokens)
        words = _words(sampling.handles)
        async with aclosing(self._engine.generate(prompt, length)) as tokens:
            async for _ in until(deadline, tokens):
                yield Delta(next(words))
        self._metrics.report(self._engine.work)
        yield Delta(finish_reason="stop" if length == self._costs.answer_tokens else "length")
        yield Delta(usage=Usage(len(prompt.tokens), length))

    async def whole_answer(self, *arguments: Any, **named: Any) -> Delta | Lacking:
        """What ``answer`` gives, in one piece."""
        return await joined(self.answer(*arguments, **named))

    async def check_health(self) -> None:
        """Asked by Ray Serve and by the gateway: answering at all is the answer."""
        self._held.drop_idle()


class _Metrics:
    """The engine's work, as counters."""

    def __init__(self) -> None:
        self._told = Work()
        self._pictures = Counter("rap_simulated_pictures_total", description="Pictures in prompts.")
        self._encodings = Counter("rap_simulated_encodings_total", description="Pictures that had to be encoded.")
        self._prompt = Counter("rap_simulated_prompt_tokens_total", description="Tokens of prompts.")
        self._held = Counter("rap_simulated_held_tokens_total", description="Tokens of prompts that were held.")

    def report(self, work: Work) -> None:
        """Adds what was done since the last time."""
        told, self._told = self._told, replace(work)
        for counter, name in (
            (self._pictures, "pictures"),
            (self._encodings, "encodings"),
            (self._prompt, "prompt_tokens"),
            (self._held, "held_tokens"),
        ):
            if more := getattr(work, name) - getattr(told, name):
                counter.inc(more)


def build_simulated(settings: MllmSettings, _: TracingSettings, *, costs: Costs, router: str) -> Application:
    """A deployment that stands where ``deployments.mllm.build_mllm``'s would. ``router``: one of ROUTERS.

    It records no spans.
    """
    routing = RequestRouterConfig(request_router_class=ROUTERS[router])
    options = {**serve_options(settings.serve), "request_router_config": routing}
    return serve.deployment(SimulatedMllm, name="Mllm:simulated", **options).bind(costs, settings)


def simulated(costs: Costs, router: str) -> partial[Application]:
    """The same, waiting for the settings."""
    return partial(build_simulated, costs=costs, router=router)


def _prompt(turns: tuple[SentTurn, ...], cache_salt: str, picture_tokens: int) -> Prompt:
    tokens: list[Token] = [cache_salt]
    pictures: list[tuple[str, int]] = []
    for part in (p for turn in turns for p in turn.parts):
        if isinstance(part, SentPicture):
            tokens += [(part.key, i) for i in range(picture_tokens)]
            pictures.append((part.key, len(tokens)))
        else:
            starts = range(0, len(part.text), CHARACTERS_PER_TOKEN)
            tokens += [part.text[i : i + CHARACTERS_PER_TOKEN] for i in starts]
    return Prompt(tokens, pictures)


def _words(handles: tuple[str, ...] | None) -> Iterator[str]:
    """Pieces of an endless answer that begins with the names."""
    yield f"This is {' and '.join(handles) if handles else 'a picture'}"
    while True:
        yield " indeed"
