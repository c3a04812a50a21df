"""Detector and embedder by themselves: loaded as the service loads them, without Ray, HTTP or memory."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.synchronize import Barrier
from typing import TypeAlias

import numpy as np

from rap_serve.adapters import time_slices
from rap_serve.adapters.open_clip import Crops, OpenClipEmbedder
from rap_serve.adapters.yolo_world import YoloWorldDetector
from rap_serve.domain.match import Matrix
from rap_serve.domain.region import BoxXyxy, Region, whole_picture
from rap_serve.settings import Settings, model_path

Pictures: TypeAlias = Sequence[np.ndarray]
Boxes: TypeAlias = Sequence[Sequence[BoxXyxy]]


@dataclass(frozen=True, slots=True)
class Spent:
    """What it took to pass all pictures: by the clock, and of the cores, by all threads of the process."""

    seconds: float
    cpu_seconds: float


class _Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._began, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> Spent:
        return Spent(time.perf_counter() - self._began, time.process_time() - self._cpu)


def load_embedder(settings: Settings) -> OpenClipEmbedder:
    """The embedder of a profile."""
    own = settings.embedder
    return OpenClipEmbedder.load(
        model_path(own.model),
        pretrained=own.pretrained,
        device=own.device,
        precision=own.precision,
        threads=own.threads,
    )


def load_detector(settings: Settings, encoder: OpenClipEmbedder) -> YoloWorldDetector:
    """The detector of a profile."""
    own = settings.detector
    return YoloWorldDetector.load(
        model_path(own.weights),
        text_encoder=encoder,
        image_size=own.image_size,
        device=own.device,
        confidence=own.confidence,
        max_regions=own.max_regions,
        iou=own.iou,
        threads=own.threads,
    )


def regions_of(detector: YoloWorldDetector, picture: np.ndarray, vocabulary: tuple[str, ...]) -> tuple[Region, ...]:
    """What the service would embed of a picture: its regions, and the whole of it."""
    return (*detector.forward([detector.preprocess(picture, vocabulary)])[0], whole_picture(picture))


def embedded(embedder: OpenClipEmbedder, picture: np.ndarray, boxes: Sequence[BoxXyxy]) -> Matrix:
    """One row a box."""
    return embedder.forward(embedder.preprocess(picture, boxes))


def detect_all(settings: Settings, pictures: Pictures, vocabulary: tuple[str, ...], start: Barrier) -> Spent:
    """All pictures in batches as large as they are served with, counted from when ``start`` opens."""
    detector = load_detector(settings, load_embedder(settings))
    regions_of(detector, pictures[0], vocabulary)
    time_slices.of_this_process(time_slices.for_computing_on(settings.detector.device))  # as served
    start.wait()
    watch = _Stopwatch()
    for low, high in _batches(len(pictures), settings.detector.batch.max_size):
        detector.forward([detector.preprocess(p, vocabulary) for p in pictures[low:high]])
    return watch.read()


def embed_all(settings: Settings, pictures: Pictures, boxes: Boxes, start: Barrier) -> Spent:
    """The same for the embedder, on the crops of all pictures."""
    embedder = load_embedder(settings)
    embedded(embedder, pictures[0], boxes[0])
    time_slices.of_this_process(time_slices.for_computing_on(settings.embedder.device))  # as served
    start.wait()
    watch = _Stopwatch()
    for low, high in _batches(len(pictures), settings.embedder.batch.max_size):
        parts = [embedder.preprocess(p, b) for p, b in zip(pictures[low:high], boxes[low:high], strict=True)]
        embedder.forward(Crops.joined(parts))
    return watch.read()


def _batches(count: int, size: int) -> list[tuple[int, int]]:
    return list(pairwise([*range(0, count, size), count]))
