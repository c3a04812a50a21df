"""The shipped models without a cluster around them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rap_serve.adapters.calibration import load_calibration
from rap_serve.adapters.open_clip import OpenClipEmbedder
from rap_serve.adapters.yolo_world import YoloWorldDetector
from rap_serve.domain.concept import EmbeddingSpace
from rap_serve.domain.match import Matrix
from rap_serve.domain.region import BoxXyxy, Pixels, Region
from rap_serve.services.embedding import EmbeddingModel, EmbeddingModels

MODELS = Path(__file__).parents[2] / "models" / "tiny"


class Unswitched:
    """A catalogue in which nobody ever chose an embedder."""

    async def current(self) -> str:
        """See Spaces."""
        return ""

    async def switch(self, version: str) -> None:
        """See Spaces."""
        raise NotImplementedError


class InProcess:
    """Detector and embedder: both ports at once."""

    def __init__(self) -> None:
        self.embedder = OpenClipEmbedder.load(str(MODELS / "embedder"))
        weights = str(MODELS / "detector" / "yolo_world_tiny.pt")
        self.detector = YoloWorldDetector.load(
            weights, text_encoder=self.embedder, image_size=224, confidence=0.02, iou=0.7
        )

    async def detect(self, pixels: Pixels, vocabulary: tuple[str, ...]) -> tuple[Region, ...]:
        """What the detector finds."""
        prepared = self.detector.preprocess(pixels, vocabulary)
        return (await asyncio.to_thread(self.detector.forward, [prepared]))[0]

    async def embed(self, pixels: Pixels, boxes_xyxy: Sequence[BoxXyxy]) -> Matrix:
        """What the embedder makes of the boxes."""
        crops = self.embedder.preprocess(pixels, boxes_xyxy)
        return await asyncio.to_thread(self.embedder.forward, crops)

    async def embed_crops(self, crops: Sequence[Pixels]) -> Matrix:
        """What the embedder makes of the crops."""
        return await asyncio.to_thread(self.embedder.forward, self.embedder.preprocess_crops(crops))


class Turned:
    """The shipped embedder, its space turned and widened: as good as it, and comparable with nothing that it made."""

    def __init__(self, models: InProcess, *, more: int = 16) -> None:
        self._models = models
        self.dim = models.embedder.dim + more
        square = np.random.default_rng(0).normal(size=(self.dim, self.dim))
        self._turn = np.linalg.qr(square)[0][: models.embedder.dim].astype(np.float32)

    async def embed(self, pixels: Pixels, boxes_xyxy: Sequence[BoxXyxy]) -> Matrix:
        """See Embedder."""
        return np.asarray(await self._models.embed(pixels, boxes_xyxy) @ self._turn, np.float32)

    async def embed_crops(self, crops: Sequence[Pixels]) -> Matrix:
        """See Embedder."""
        return np.asarray(await self._models.embed_crops(crops) @ self._turn, np.float32)


def models_of(space: EmbeddingSpace) -> EmbeddingModels:
    """For where nothing is embedded."""
    return EmbeddingModels([EmbeddingModel(space, None, None)], Unswitched())  # type: ignore[arg-type]


def embedding_models(models: InProcess, *versions: str) -> EmbeddingModels:
    """The shipped embedder under these names, the first of which answers."""
    calibration = load_calibration(str(MODELS / "embedder"))
    spaces = (EmbeddingSpace(version, models.embedder.dim) for version in versions)
    return EmbeddingModels([EmbeddingModel(space, models, calibration) for space in spaces], Unswitched())
