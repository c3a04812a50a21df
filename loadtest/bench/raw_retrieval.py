"""The raw parts of a retrieval, in this process: detector, embedder, numpy search."""

import time
from dataclasses import dataclass

import numpy as np

from loadtest.bench.raw_models import load_detector, load_embedder
from rap_serve.domain.match import Matrix
from rap_serve.domain.region import whole_picture
from rap_serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """Milliseconds of each part for one picture. ``preparing`` is of both models, before their forwards."""

    preparing: float
    detector: float
    embedder: float
    search: float
    regions: int

    @property
    def total(self) -> float:
        return self.preparing + self.forwards

    @property
    def forwards(self) -> float:
        return self.detector + self.embedder + self.search


class RawRetrieval:
    """One picture at a time, on the weights and threads of a profile, against a library as a plain matrix."""

    def __init__(self, settings: Settings, avatars: list[tuple[np.ndarray, list[float]]]) -> None:
        """``avatars``: picture and box of each concept."""
        self._embedder = load_embedder(settings)
        self._detector = load_detector(settings, self._embedder)
        self._vocabulary = settings.detector.fallback_vocabulary
        self._library = np.concatenate([self._embed(image, (x0, y0, x1, y1)) for image, (x0, y0, x1, y1) in avatars])

    def __call__(self, picture: np.ndarray) -> Parts:
        """All parts of one picture, timed."""
        marks = [time.perf_counter()]
        prepared = self._detector.preprocess(picture, self._vocabulary)
        marks.append(time.perf_counter())
        (found,) = self._detector.forward([prepared])
        marks.append(time.perf_counter())
        crops = self._embedder.preprocess(picture, [r.box_xyxy for r in (*found, whole_picture(picture))])
        marks.append(time.perf_counter())
        rows = self._embedder.forward(crops)
        marks.append(time.perf_counter())
        (rows @ self._library.T).argmax(axis=1)
        marks.append(time.perf_counter())
        letterbox, detector, cropping, embedder, search = 1_000 * np.diff(marks)
        return Parts(letterbox + cropping, detector, embedder, search, len(crops))

    def _embed(self, image: np.ndarray, box: tuple[float, float, float, float]) -> Matrix:
        return self._embedder.forward(self._embedder.preprocess(image, [box]))
