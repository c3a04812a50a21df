"""Ports and seams with spans around what passes through them; what they answer is what is behind them."""

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager

from opentelemetry.trace import SpanKind, get_current_span, use_span

from rap_serve.domain.chat import Delta, Sampling
from rap_serve.domain.concept import EmbeddingSpace, Owner
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import Detector, Embedder, Mllm
from rap_serve.domain.prompt import Turn
from rap_serve.domain.region import BoxXyxy, Pixels, Region
from rap_serve.observability import attributes as names
from rap_serve.observability.tracing import Attributes, Tracing
from rap_serve.services.admit import LaneMetrics
from rap_serve.services.retrieve import Retrieval
from rap_serve.services.timings import Timings

_STEPS = {"total": names.RETRIEVAL}
_PORTS_OWN = {"first_token"}
"""Steps that have no span of theirs: the answer's outlives the wait for its first piece."""


class TracedTimings(Timings):
    """Timings whose steps are spans, too."""

    def __init__(self, tracing: Tracing) -> None:
        super().__init__()
        self._tracing = tracing

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """See Timings."""
        if step in _PORTS_OWN:
            with super().__call__(step):
                yield
            return
        name = _STEPS.get(step, step)
        attributes = {names.OPERATION: name} if step in _STEPS else None
        with self._tracing.span(name, attributes), super().__call__(step):
            yield


class TracedDetector:
    """The port ``Detector``."""

    def __init__(self, detector: Detector, tracing: Tracing) -> None:
        self._detector = detector
        self._tracing = tracing

    async def detect(self, pixels: Pixels, vocabulary: tuple[str, ...]) -> tuple[Region, ...]:
        """See the port."""
        with self._tracing.span("call detector", {names.WORDS: len(vocabulary)}, kind=SpanKind.CLIENT) as span:
            regions = await self._detector.detect(pixels, vocabulary)
            span.set_attribute(names.REGIONS, len(regions))
            return regions


class TracedEmbedder:
    """The port ``Embedder``; ``space``: that of its embeddings."""

    def __init__(self, embedder: Embedder, tracing: Tracing, space: EmbeddingSpace) -> None:
        self._embedder = embedder
        self._tracing = tracing
        self._name = f"{names.EMBEDDINGS} {space.version}"
        self._attributes: Attributes = {
            names.OPERATION: names.EMBEDDINGS,
            names.PROVIDER: "open_clip",
            names.MODEL: space.version,
            names.EMBEDDING_SIZE: space.dim,
        }

    async def embed(self, pixels: Pixels, boxes_xyxy: Sequence[BoxXyxy]) -> Matrix:
        """See the port."""
        attributes: Attributes = {**self._attributes, names.CROPS: len(boxes_xyxy)}
        with self._tracing.span(self._name, attributes, kind=SpanKind.CLIENT):
            return await self._embedder.embed(pixels, boxes_xyxy)

    async def embed_crops(self, crops: Sequence[Pixels]) -> Matrix:
        """See the port."""
        attributes: Attributes = {**self._attributes, names.CROPS: len(crops)}
        with self._tracing.span(self._name, attributes, kind=SpanKind.CLIENT):
            return await self._embedder.embed_crops(crops)


class TracedMllm:
    """The port ``Mllm``: one span an answer, from handing over the prompt to the last piece."""

    def __init__(self, mllm: Mllm, tracing: Tracing) -> None:
        self._mllm = mllm
        self._tracing = tracing

    def holds(self, owner: Owner, name: str) -> bool:
        """See Mllm."""
        return self._mllm.holds(owner, name)

    async def stream(
        self, turns: Sequence[Turn], sampling: Sampling, *, model: str, owner: Owner, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        """See Mllm. The call to the replica is made for the first piece, so that only this is inside the span."""
        asked = time.perf_counter()
        pieces = self._mllm.stream(turns, sampling, model=model, owner=owner, request_id=request_id)
        attributes: Attributes = {
            names.OPERATION: names.CHAT,
            names.PROVIDER: "vllm",
            names.MODEL: model,
            names.MAX_TOKENS: sampling.max_tokens,
            names.TEMPERATURE: sampling.temperature,
            names.TOP_P: sampling.top_p,
            names.STREAM: not sampling.whole,
            names.REQUEST_ID: request_id,
        }
        with self._tracing.apart(f"{names.CHAT} {model}", attributes, kind=SpanKind.CLIENT) as span:
            async with aclosing(pieces):
                with use_span(span, record_exception=False, set_status_on_exception=False):
                    delta = await anext(pieces, None)
                span.set_attribute(names.FIRST_CHUNK_SECONDS, time.perf_counter() - asked)
                while delta is not None:
                    if delta.finish_reason is not None:
                        span.set_attribute(names.FINISH_REASONS, [delta.finish_reason])
                    if delta.usage is not None:
                        span.set_attribute(names.INPUT_TOKENS, delta.usage.prompt_tokens)
                        span.set_attribute(names.OUTPUT_TOKENS, delta.usage.completion_tokens)
                    yield delta
                    delta = await anext(pieces, None)


class TracedLanes:
    """Where admissions are counted; what a request waited for its turn is a span."""

    def __init__(self, metrics: LaneMetrics, tracing: Tracing) -> None:
        self._metrics = metrics
        self._tracing = tracing

    def admitted(self, *, lane: str, waited_seconds: float) -> None:
        """See LaneMetrics; told within the request."""
        self._tracing.passed("turn", waited_seconds, {names.LANE: lane})
        self._metrics.admitted(lane=lane, waited_seconds=waited_seconds)

    def rejected(self, *, lane: str, reason: str) -> None:
        """See LaneMetrics."""
        self._metrics.rejected(lane=lane, reason=reason)

    def lane(self, *, lane: str, waiting: int, under_way: int, slots: int) -> None:
        """See LaneMetrics."""
        self._metrics.lane(lane=lane, waiting=waiting, under_way=under_way, slots=slots)


def noted(observe: Callable[[Retrieval], None]) -> Callable[[Retrieval], None]:
    """``observe``, which also says on the request's span what its retrieval came to: numbers, no names."""

    def observed(found: Retrieval) -> None:
        span = get_current_span()
        span.set_attribute(names.CACHE, found.cache)
        span.set_attribute(names.REGIONS, len(found.regions))
        span.set_attribute(names.EVIDENCE, len(found.evidence))
        span.set_attribute(names.DEGRADED, list(found.degraded))
        observe(found)

    return observed
