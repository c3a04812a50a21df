"""The detector as a deployment."""

from deployments.scaling import Latency
from rap_serve.adapters import time_slices
from rap_serve.adapters.batcher import Batcher
from rap_serve.adapters.lent_pixels import Elsewhere, GivenPixels, taken
from rap_serve.adapters.open_clip import OpenClipEmbedder
from rap_serve.adapters.yolo_world import YoloWorldDetector
from rap_serve.domain.deadline import NEVER, Deadline
from rap_serve.domain.region import Region
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
        time_slices.of_this_process(time_slices.for_computing_on(settings.device))
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
        self._batcher = Batcher(
            self._detector.forward,
            size=len,
            batch=settings.batch,
            device=settings.device,
            metrics=BatchMetrics(),
            tracing=self._tracing,
        )
        self._latency = Latency()

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
            with self._latency.measured():
                (regions,) = await self._batcher(lambda: [self._detector.preprocess(pixels, vocabulary)], deadline)
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
