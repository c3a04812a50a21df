"""The embedder as a deployment."""

import asyncio

import numpy as np
from ray import serve

from rap_serve.adapters.open_clip import Crops, OpenClipEmbedder
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
        self._batched.set_max_batch_size(settings.batch.max_size)
        self._batched.set_batch_wait_timeout_s(settings.batch.wait_seconds)

    async def embed(self, pixels: Pixels, boxes_xyxy: tuple[BoxXyxy, ...]) -> Matrix:
        """One row a box: float32, (boxes, dim), L2 norm 1."""
        crops = await asyncio.to_thread(self._embedder.preprocess, pixels, boxes_xyxy)
        rows: Matrix = await self._batched(crops)
        return rows

    async def version_and_dim(self) -> tuple[str, int]:
        """Names weights whose vectors may be compared, and the vectors' length."""
        return self._embedder.version, self._embedder.dim

    async def check_health(self) -> None:
        """Asked by Ray Serve and by the gateway: answering at all is the answer."""

    @serve.batch  # type: ignore[untyped-decorator]
    async def _batched(self, crops: list[Crops]) -> list[Matrix]:
        rows = await asyncio.to_thread(self._embedder.forward, Crops.joined(crops))
        return np.split(rows, np.cumsum([len(c) for c in crops])[:-1])
