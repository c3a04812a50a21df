"""The embedder as a deployment."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deployments.scaling import Latency
from rap_serve.adapters import time_slices
from rap_serve.adapters.batcher import Batcher
from rap_serve.adapters.lent_pixels import Elsewhere, GivenPixels, taken
from rap_serve.adapters.open_clip import Crops, OpenClipEmbedder, crops_in
from rap_serve.domain.deadline import NEVER, Deadline
from rap_serve.domain.match import Matrix
from rap_serve.domain.region import BoxXyxy, Pixels
from rap_serve.observability.attributes import CROPS
from rap_serve.observability.batches import BatchMetrics
from rap_serve.observability.logging import configure_logging
from rap_serve.observability.origin import UNKNOWN, Origin
from rap_serve.observability.tracing import Tracing
from rap_serve.settings import NO_TRACING, EmbedderSettings, TracingSettings, model_path


class EmbedderDeployment:
    """Batches the crops of many requests into one forward pass."""

    def __init__(self, settings: EmbedderSettings, tracing: TracingSettings = NO_TRACING) -> None:
        configure_logging()
        time_slices.of_this_process(time_slices.for_computing_on(settings.device))
        self._tracing = Tracing.of(tracing, "rap-embedder")
        self._embedder = OpenClipEmbedder.load(
            model_path(settings.model),
            pretrained=settings.pretrained,
            device=settings.device,
            precision=settings.precision,
            threads=settings.threads,
        )
        self._batcher = Batcher(
            self._rows,
            size=crops_in,
            batch=settings.batch,
            device=settings.device,
            metrics=BatchMetrics(),
            tracing=self._tracing,
        )
        self._most = settings.batch.max_size
        self._latency = Latency()

    async def embed(
        self,
        given_pixels: GivenPixels,
        boxes_xyxy: tuple[BoxXyxy, ...],
        deadline: Deadline = NEVER,
        origin: Origin = UNKNOWN,
    ) -> Matrix | Elsewhere:
        """One row a box: float32, (boxes, dim), L2 norm 1. Raises DeadlineExceeded."""
        with self._tracing.continued(origin, "embed", {CROPS: len(boxes_xyxy)}):
            if isinstance(pixels := taken(given_pixels), Elsewhere):
                return pixels
            return await self._embedded(deadline, self._embedder.preprocess, pixels, boxes_xyxy)

    async def embed_crops(
        self, crops: tuple[Pixels, ...], deadline: Deadline = NEVER, origin: Origin = UNKNOWN
    ) -> Matrix:
        """One row a crop, each a picture of its own. Raises DeadlineExceeded."""
        with self._tracing.continued(origin, "embed", {CROPS: len(crops)}):
            return await self._embedded(deadline, self._embedder.preprocess_crops, crops)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Asked by Ray Serve."""
        return self._latency.stats()

    async def version_and_dim(self) -> tuple[str, int]:
        """Names weights whose vectors may be compared, and the vectors' length."""
        return self._embedder.version, self._embedder.dim

    async def check_health(self) -> None:
        """Asked by Ray Serve and by the gateway: answering at all is the answer."""

    async def _embedded(self, deadline: Deadline, preprocess: Callable[..., Crops], *pictures: Any) -> Matrix:
        deadline.require()
        with self._latency.measured():
            return np.concatenate(await self._batcher(lambda: preprocess(*pictures).parts(self._most), deadline))

    def _rows(self, crops: Sequence[Crops]) -> list[Matrix]:
        rows = self._embedder.forward(Crops.joined(crops))
        return np.split(rows, np.cumsum([len(c) for c in crops])[:-1])
