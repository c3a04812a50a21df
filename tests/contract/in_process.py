"""The shipped models without a cluster around them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from rap_serve.adapters.open_clip import OpenClipEmbedder
from rap_serve.adapters.yolo_world import YoloWorldDetector
from rap_serve.domain.match import Matrix
from rap_serve.domain.region import BoxXyxy, Pixels, Region

MODELS = Path(__file__).parents[2] / "models" / "tiny"


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
