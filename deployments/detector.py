"""The detector as a deployment."""

import torch
from ray import serve

from deployments.scaling import Latency
from rap_serve.adapters.lent_pixels import Elsewhere, GivenPixels, taken
from rap_serve.adapters.open_clip import OpenClipEmbedder
from rap_serve.adapters.paced import Paced
from rap_serve.adapters.threads import Threads
from rap_serve.adapters.yolo_world import Prepared, YoloWorldDetector
from rap_serve.domain.deadline import NEVER, Deadline, given
from rap_serve.domain.errors import DeadlineExceeded
from rap_serve.domain.region import Pixels, Region
from rap_serve.observability.attributes import REGIONS, WORDS
from rap_serve.observability.batches import BatchMetrics
from rap_serve.observability.logging import configure_logging
from rap_serve.observability.origin import UNKNOWN, Origin
from rap_serve.observability.tracing import Tracing
from rap_serve.settings import NO_TRACING, DetectorSettings, TracingSettings, model_path


class DetectorDeployment:
    """Batches pictures of many owners, each with its own vocabulary."""

    def __init__(self, settings: DetectorSettings, tracing: TracingSettings = NO_TRACING) -> None:
        configure_logging()
        self._tracing = Tracing.of(tracing, "rap-detector")
        encoder = OpenClipEmbedder.load(
            model_path(settings.text_encoder),
            pretrained=settings.text_encoder_pretrained,
            device=settings.device,
        )
        self._detector = YoloWorldDetector.load(
            model_path(settings.weights),
            text_encoder=encoder,
            image_size=settings.image_size,
            device=settings.device,
            confidence=settings.confidence,
            max_regions=settings.max_regions,
            iou=settings.iou,
            threads=settings.threads,
        )
        self._preparing = Threads(torch.get_num_threads(), "prepare")
        self._latency = Latency()
        self._batched.set_max_batch_size(settings.batch.max_size)
        self._paced = Paced(
            self._detector.forward, size=len, most_seconds=settings.batch.wait_seconds, metrics=BatchMetrics()
        )

    async def detect(
        self,
        given_pixels: GivenPixels,
        vocabulary: tuple[str, ...],
        deadline: Deadline = NEVER,
        origin: Origin = UNKNOWN,
    ) -> tuple[Region, ...] | Elsewhere:
        """Regions of one picture, surest first. Raises DeadlineExceeded."""
        with self._tracing.continued(origin, "detect", {WORDS: len(vocabulary)}) as span:
            deadline.require()
            if isinstance(pixels := taken(given_pixels), Elsewhere):
                return pixels
            with self._latency.measured(), self._paced.call() as alone:
                if alone:
                    regions = await self._paced.alone(lambda: self._found(pixels, vocabulary), deadline)
                else:
                    regions = await self._found_in_batch(pixels, vocabulary, deadline)
            span.set_attribute(REGIONS, len(regions))
        return regions

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Asked by Ray Serve."""
        return self._latency.stats()

    async def version(self) -> str:
        """Names weights whose results may be compared."""
        return self._detector.version

    async def check_health(self) -> None:
        """Asked by Ray Serve and by the gateway: answering at all is the answer."""

    def _found(self, pixels: Pixels, vocabulary: tuple[str, ...]) -> tuple[Region, ...]:
        with self._tracing.span("preprocess"):
            prepared = self._detector.preprocess(pixels, vocabulary)
        with self._tracing.span("batch"):
            return self._paced.passed([prepared])[0]

    async def _found_in_batch(
        self, pixels: Pixels, vocabulary: tuple[str, ...], deadline: Deadline
    ) -> tuple[Region, ...]:
        with self._tracing.span("preprocess"):
            prepared = await self._preparing.run(self._detector.preprocess, pixels, vocabulary)
        self._batched.set_batch_wait_timeout_s(self._paced.wait_seconds())
        with self._tracing.span("batch"):
            result: tuple[Region, ...] | DeadlineExceeded = await self._paced.counted(self._batched(prepared, deadline))
            return given(result)

    @serve.batch  # type: ignore[untyped-decorator]
    async def _batched(
        self, prepared: list[Prepared], deadlines: list[Deadline]
    ) -> list[tuple[Region, ...] | DeadlineExceeded]:
        return await self._paced.forward(prepared, deadlines)
