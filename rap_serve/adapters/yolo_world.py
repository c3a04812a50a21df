"""Open-vocabulary detection with YOLO-World networks, from the smallest to the largest.

The vocabulary is an input of the network, not a state of it: the words of every picture are encoded and
handed in beside its pixels, so that one batch may serve pictures with different vocabularies, and a word
nobody has used before needs no reload.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from rap_serve.domain.errors import InvalidImage, InvalidInput
from rap_serve.domain.region import Pixels, Region

Floats: TypeAlias = NDArray[np.float32]

TEMPLATE = "{}"
"""What is encoded for a word. YOLO-World is trained on plain category names (its paper, section 3.2)."""

PAD_GREY = 114
"""What surrounds a picture that is not square; the value YOLO networks are trained with."""

GENERIC_WORDS = frozenset({"object", "thing", "item"})
"""Words that are true of everything: they find things, and label them only where no other word is sure."""

CANDIDATES = 300
"""Boxes that enter the suppression of duplicates, surest first."""

WORDS_KEPT = 4096
SMALLEST_SIDE_PX = 1.0


class TextEncoder(Protocol):
    """Whatever the network was trained with as its text tower."""

    def embed_texts(self, texts: list[str]) -> Floats:
        """One row a text: float32, (texts, 512), L2 norm 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A picture and its vocabulary, ready for a batch.

    ``pixels``: uint8, (3, size, size), RGB, letterboxed. ``texts``: float32, (words, dim), norm 1.
    ``scale`` and ``offset_px`` (left, top) led from the picture to ``pixels``; ``size_px`` is the picture's
    (width, height).
    """

    pixels: NDArray[np.uint8]
    vocabulary: tuple[str, ...]
    texts: Floats
    scale: float
    offset_px: tuple[int, int]
    size_px: tuple[int, int]


class YoloWorldDetector:
    """Finds what a vocabulary names. ``version`` changes whenever the same picture might give other regions.

    ``preprocess`` may run in many threads; forwards run one at a time.
    """

    version: str

    @classmethod
    def load(
        cls,
        weights: str,
        *,
        text_encoder: TextEncoder,
        image_size: int,
        device: str = "cpu",
        confidence: float = 0.1,
        max_regions: int = 12,
        iou: float = 0.6,
        threads: int | None = None,
    ) -> Self:
        """A detector from a checkpoint of ultralytics' (a path, or the name of a published one).

        ``image_size``: side of the square the network sees, in pixels, a multiple of 32. ``confidence``:
        score from which a box counts. ``iou``: overlap from which two boxes show the same thing, whatever
        their labels. ``threads``: CPU threads of this process's forwards.
        """
        if image_size % 32:
            raise ValueError(f"image_size must be a multiple of 32, not {image_size}.")
        if threads is not None:
            torch.set_num_threads(threads)
        network, path = _load_network(weights, device)
        detector = cls(network, text_encoder, image_size, device, confidence, max_regions, iou)
        settings = f"{image_size}/{confidence}/{max_regions}/{iou}/{TEMPLATE}"
        digest = hashlib.sha256(path.read_bytes() + settings.encode()).hexdigest()
        detector.version = f"{path.stem}-{digest[:12]}"
        return detector

    def __init__(
        self,
        network: Any,
        text_encoder: TextEncoder,
        image_size: int,
        device: str,
        confidence: float,
        max_regions: int,
        iou: float,
    ) -> None:
        self.version = "unversioned"
        self._network = network
        self._vocabulary = _EncodedWords(text_encoder)
        self._image_size = image_size
        self._device = device
        self._confidence = confidence
        self._max_regions = max_regions
        self._iou = iou
        self._one_forward = threading.Lock()

    def preprocess(self, image: Pixels, vocabulary: tuple[str, ...]) -> Prepared:
        """What ``forward`` needs of a picture. Raises InvalidImage, or InvalidInput on blank words."""
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise InvalidImage("A picture is 8-bit RGB, height x width x 3.")
        if not vocabulary or not all(word.strip() for word in vocabulary):
            raise InvalidInput("A detector's vocabulary is one word or more, none of them blank.")
        texts = self._vocabulary.encode(vocabulary)
        height, width = image.shape[:2]
        pixels, scale, offset_px = letterbox(image, self._image_size)
        chw = np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return Prepared(chw, vocabulary, texts, scale, offset_px, (width, height))

    def forward(self, batch: Sequence[Prepared]) -> list[tuple[Region, ...]]:
        """The regions of each picture, surest first, in pixels of that picture and inside it.

        A picture's regions do not depend on what else is in the batch, but for the last bits of a float
        (kernels differ with shapes): a short vocabulary is padded with its own words, which leaves the
        maxima of the network's attention over words as they are.
        """
        if not batch:
            return []
        width = max(len(item.vocabulary) for item in batch)
        pixels = torch.from_numpy(np.stack([item.pixels for item in batch])).to(self._device)
        texts = np.stack([np.resize(item.texts, (width, item.texts.shape[1])) for item in batch])
        with self._one_forward, torch.inference_mode():
            # The head splits its output by this number.
            self._network.model[-1].nc = width
            output = self._network.predict(pixels.float() / 255, txt_feats=torch.from_numpy(texts).to(self._device))[0]
        outputs: Floats = output.float().cpu().numpy()
        return [self._regions(item, rows) for item, rows in zip(batch, outputs, strict=True)]

    def _regions(self, item: Prepared, rows: Floats) -> tuple[Region, ...]:
        """``rows``: (4 + padded words, anchors): centre, size, then a score per word."""
        scores = rows[4 : 4 + len(item.vocabulary)]
        best = scores.max(axis=0)
        order = np.argsort(-best, kind="stable")[:CANDIDATES]
        order = order[best[order] >= self._confidence]
        boxes = _in_picture(rows[:4, order].T, item)
        sides = boxes[:, 2:] - boxes[:, :2]
        visible: NDArray[np.bool_] = np.all(sides >= SMALLEST_SIDE_PX, axis=1)
        keep = distinct(boxes, self._iou, among=visible)[: self._max_regions]
        return tuple(
            Region(
                (float(boxes[i, 0]), float(boxes[i, 1]), float(boxes[i, 2]), float(boxes[i, 3])),
                self._label(item.vocabulary, scores[:, order[i]]),
                float(best[order[i]]),
            )
            for i in keep
        )

    def _label(self, vocabulary: tuple[str, ...], scores: Floats) -> str:
        """The surest word, a generic one only where no other reaches the confidence."""
        return max(
            zip(vocabulary, scores.tolist(), strict=True),
            key=lambda pair: (pair[0] not in GENERIC_WORDS and pair[1] >= self._confidence, pair[1]),
        )[0]


def letterbox(image: Pixels, size: int) -> tuple[Pixels, float, tuple[int, int]]:
    """``image`` in the middle of a grey square of ``size`` pixels; its scale; its (left, top) there."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    inner = (max(1, round(width * scale)), max(1, round(height * scale)))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    left, top = (size - inner[0]) // 2, (size - inner[1]) // 2
    square = np.full((size, size, 3), PAD_GREY, np.uint8)
    square[top : top + inner[1], left : left + inner[0]] = cv2.resize(image, inner, interpolation=interpolation)
    return square, scale, (left, top)


def distinct(boxes: Floats, iou: float, *, among: NDArray[np.bool_]) -> list[int]:
    """Indices of the boxes that no earlier kept one overlaps by more than ``iou``, in order.

    ``boxes``: (n, 4), corners, surest first. ``among``: (n,), which of them to look at.
    """
    left_top = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    right_bottom = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = np.clip(right_bottom - left_top, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    overlap = shared / np.maximum(areas[:, None] + areas[None, :] - shared, 1e-9)
    free, kept = among.copy(), []
    for i in range(len(boxes)):
        if free[i]:
            kept.append(i)
            free &= overlap[i] <= iou
    return kept


def _in_picture(centred: Floats, item: Prepared) -> Floats:
    """Boxes (n, 4) of centre and size in the letterbox as corners in the picture, clipped to it."""
    corners = np.concatenate([centred[:, :2] - centred[:, 2:] / 2, centred[:, :2] + centred[:, 2:] / 2], axis=1)
    corners = (corners - np.array(item.offset_px * 2, np.float32)) / np.float32(item.scale)
    return np.clip(corners, 0, np.array(item.size_px * 2, np.float32)).astype(np.float32)


class _EncodedWords:
    """Text features of the words used last."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._features: OrderedDict[str, Floats] = OrderedDict()
        self._lock = threading.Lock()

    def encode(self, words: tuple[str, ...]) -> Floats:
        """One row a word: float32, (words, dim), norm 1."""
        with self._lock:
            missing = [word for word in dict.fromkeys(words) if word not in self._features]
            if missing:
                rows = self._encoder.embed_texts([TEMPLATE.format(word) for word in missing])
                self._features.update(zip(missing, rows, strict=True))
            features = np.stack([self._features[word] for word in words])
            for word in words:
                self._features.move_to_end(word)
            while len(self._features) > WORDS_KEPT:
                self._features.popitem(last=False)
        return features


def _load_network(weights: str, device: str) -> tuple[Any, Path]:
    """ultralytics' WorldModel in eval mode and the file it came from; the one place that is untyped."""
    from ultralytics.nn.tasks import WorldModel, load_checkpoint

    network, _ = load_checkpoint(weights, device=torch.device(device), fuse=False)
    if not isinstance(network, WorldModel):
        raise ValueError(f"{weights} holds a {type(network).__name__}, not a YOLO-World network.")
    network.fuse(verbose=False)
    return network, Path(network.pt_path)
