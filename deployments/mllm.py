"""The multimodal LLM as a deployment: ``ray.serve.llm``'s server around vLLM."""

import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from opentelemetry.trace import SpanKind
from pydantic import BaseModel
from ray.serve import Application
from ray.serve.llm import LLMConfig, ModelLoadingConfig, build_llm_deployment
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.openai_api_models import ChatCompletionRequest, ErrorResponse
from vllm import envs
from vllm.platforms import current_platform

from deployments.options import owner_routing, serve_options
from rap_serve.adapters import time_slices, vllm
from rap_serve.adapters.held_pictures import HeldPictures
from rap_serve.adapters.vllm_executor import keeping_executor
from rap_serve.domain.chat import Delta, Sampling
from rap_serve.domain.deadline import NEVER, Deadline, until
from rap_serve.domain.sent import Lacking, SentTurn, joined
from rap_serve.observability.attributes import FIRST_CHUNK_SECONDS, PICTURES_HELD, REQUEST_ID
from rap_serve.observability.logging import configure_logging
from rap_serve.observability.origin import UNKNOWN, Origin
from rap_serve.observability.tracing import Tracing
from rap_serve.settings import NO_TRACING, MllmSettings, TracingSettings, model_path


class MllmServer(LLMServer):  # type: ignore[misc]
    """Takes our turns and gives our deltas, so that callers need neither vLLM nor pictures that it holds."""

    async def __init__(  # type: ignore[misc]  # as its base class, which Ray awaits
        self, llm_config: LLMConfig, *, picture_bytes: int, picture_seconds: float, tracing: TracingSettings
    ) -> None:
        configure_logging()
        self._tracing = Tracing.of(tracing, "rap-mllm")
        self._held = HeldPictures(max_bytes=picture_bytes, idle_seconds=picture_seconds)
        await super().__init__(llm_config, engine_cls=keeping_executor(self._get_default_engine_class()))
        envs.enable_envs_cache()  # as in the engine's own process; without it each look at a setting parses it anew

    async def _start_engine(self) -> None:
        """As its base class, which then also starts an actor on the cluster for usage reports to Ray's makers."""
        with time_slices.of_what_starts(time_slices.for_computing_on(current_platform.device_type)):
            await self.engine.start()

    async def answer(
        self,
        turns: tuple[SentTurn, ...],
        sampling: Sampling,
        *,
        model: str,
        cache_salt: str,
        request_id: str,
        deadline: Deadline = NEVER,
        origin: Origin = UNKNOWN,
    ) -> AsyncGenerator[Delta | Lacking, None]:
        """The pieces of the answer as the engine makes them; leaving early aborts the engine's request.

        Only what is lacking, where that is a picture. Raises DeadlineExceeded when it passes, and aborts it too.
        """
        with self._tracing.apart("generate", {REQUEST_ID: request_id}, kind=SpanKind.SERVER, origin=origin) as span:
            deadline.require()
            began = time.perf_counter()
            pictures = await self._held.taken_in(turns)
            span.set_attribute(PICTURES_HELD, not isinstance(pictures, Lacking))
            if isinstance(pictures, Lacking):
                yield pictures
                return
            fields = vllm.chat_request(turns, pictures, sampling, model=model, cache_salt=cache_salt)
            events = await self.chat(ChatCompletionRequest(**fields, request_id=request_id))
            first = True
            async with aclosing(events):
                async for made in until(deadline, events):
                    if first:
                        span.set_attribute(FIRST_CHUNK_SECONDS, _milliseconds_since(began) / 1_000)
                    for delta in _deltas(made):
                        yield replace(delta, engine_milliseconds=_milliseconds_since(began)) if first else delta
                        first = False

    async def whole_answer(self, *arguments: Any, **named: Any) -> Delta | Lacking:
        """What ``answer`` gives, in one piece: a call that returns once costs Ray much less than one that yields."""
        return await joined(self.answer(*arguments, **named))

    async def check_health(self) -> None:
        """Asked by Ray Serve every few seconds, which is when pictures that nobody asks for are dropped."""
        self._held.drop_idle()
        await super().check_health()


def _milliseconds_since(began: float) -> float:
    return 1_000 * (time.perf_counter() - began)


def _deltas(made: BaseModel | list[str | ErrorResponse]) -> Iterable[Delta]:
    """What the engine made: some events of an answer, or all of it."""
    return vllm.deltas(map(_text, made)) if isinstance(made, list) else (vllm.whole(made.model_dump()),)


def _text(event: str | ErrorResponse) -> str:
    """A server-sent event; what the engine gives instead of one is raised."""
    if isinstance(event, str):
        return event
    raise vllm.engine_error(int(event.error.code or 500), event.error.message)


def build_mllm(settings: MllmSettings, tracing: TracingSettings = NO_TRACING) -> Application:
    """The deployment of ``settings``' model, its first token not held back by stream batching."""
    config = LLMConfig(
        model_loading_config=ModelLoadingConfig(model_id=settings.model_id, model_source=model_path(settings.source)),
        accelerator_type=settings.accelerator_type,
        placement_group_config=None if settings.accelerator_type else {"bundles": [{"CPU": settings.serve.num_cpus}]},
        engine_kwargs=dict(settings.engine),
        deployment_config={**serve_options(settings.serve), "request_router_config": owner_routing()},
        experimental_configs={"stream_batching_interval_ms": 0},
        runtime_env={"env_vars": dict(settings.environment)},
        log_engine_metrics=True,
    )
    kwargs = {
        "picture_bytes": settings.picture_bytes,
        "picture_seconds": settings.picture_seconds,
        "tracing": tracing,
    }
    return build_llm_deployment(config, name_prefix="Mllm:", bind_kwargs=kwargs, deployment_cls=MllmServer)
