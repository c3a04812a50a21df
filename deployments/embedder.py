"""The embedder as a deployment."""

import asyncio

import numpy as np
from ray import serve

from deployments.scaling import Latency
from rap_serve.adapters.open_clip import Crops, OpenClipEmbedder
from rap_serve.domain.deadline import NEVER, Deadline, given, in_time
from rap_serve.domain.errors import DeadlineExceeded
from rap_serve.domain.match import Matrix
from rap_serve.domain.region import BoxXyxy, Pixels
from rap_serve.settings import EmbedderSettings, model_path


class EmbedderDeployment:
    """Batches the crops of many requests into one forward pass."""

    def __init__(self, settings: EmbedderSettings) -> None:
        self._embedder = OpenClipEmbedder.load(
            model_path(settings.model),
            pretrained=settings.pretrained,
            device=settings.device,
            precision=settings.precision,
            threads=settings.threads,
        )
        self._latency = Latency()
        self._batched.set_max_batch_size(settings.batch.max_size)
        self._batched.set_batch_wait_timeout_s(settings.batch.wait_seconds)

    async def embed(self, pixels: Pixels, boxes_xyxy: tuple[BoxXyxy, ...], deadline: Deadline = NEVER) -> Matrix:
        """One row a box: float32, (boxes, dim), L2 norm 1. Raises DeadlineExceeded."""
        deadline.require()
        with self._latency.measured():
            crops = await asyncio.to_thread(self._embedder.preprocess, pixels, boxes_xyxy)
            rows: Matrix | DeadlineExceeded = await self._batched(crops, deadline)
        return given(rows)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """Asked by Ray Serve."""
        return self._latency.stats()

    async def version_and_dim(self) -> tuple[str, int]:
        """Names weights whose vectors may be compared, and the vectors' length."""
        return self._embedder.version, self._embedder.dim

    async def check_health(self) -> None:
        """Asked by Ray Serve and by the gateway: answering at all is the answer."""

    @serve.batch  # type: ignore[untyped-decorator]
    async def _batched(self, crops: list[Crops], deadlines: list[Deadline]) -> list[Matrix | DeadlineExceeded]:
        return await asyncio.to_thread(in_time, crops, deadlines, self._embedded)

    def _embedded(self, crops: list[Crops]) -> list[Matrix]:
        rows = self._embedder.forward(Crops.joined(crops))
        return np.split(rows, np.cumsum([len(c) for c in crops])[:-1])
