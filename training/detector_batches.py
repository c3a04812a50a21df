"""What the detector is shown: batches of views, each with a vocabulary of its own.

A word is true of a thing, a thing may have several true words, and what has none in its picture's
vocabulary is background there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from rap_serve.adapters.yolo_world import GENERIC_WORDS, letterbox
from training.detector_scenes import View, sample_views
from training.world.things import KINDS, Thing

Floats = NDArray[np.float32]

GENERIC = tuple(sorted(GENERIC_WORDS))
WORDS_PER_PICTURE = 16


def words_of(thing: Thing) -> tuple[str, ...]:
    """Every word and phrase that is true of the thing, its category first; the generic ones are left out."""
    kind = KINDS[thing.category]
    phrases = (f"{thing.base} {thing.category}", f"{kind.forms[thing.form]} {thing.category}")
    return tuple(dict.fromkeys((thing.category, *kind.synonyms, *phrases)))


ALL_WORDS = tuple(dict.fromkeys(word for name, kind in KINDS.items() for word in (name, *kind.synonyms)))


def sample_vocabulary(things: Sequence[Thing | None], rng: np.random.Generator) -> tuple[str, ...]:
    """Words to look for in a picture of ``things``; None is something without a category."""
    generic = GENERIC[rng.integers(len(GENERIC))]
    if rng.random() < 0.25:
        return (generic,)
    words = [generic] if rng.random() < 0.6 else []
    for thing in things:
        if thing is not None and rng.random() < 0.8:
            true = words_of(thing)
            words.append(true[0] if rng.random() < 0.65 else true[rng.integers(len(true))])
            if rng.random() < 0.1:
                words.append(f"{('red', 'blue', 'white', 'black')[rng.integers(4)]} {thing.category}")
    words += [ALL_WORDS[i] for i in rng.integers(0, len(ALL_WORDS), int(rng.integers(1, 12)))]
    distinct = list(dict.fromkeys(words))[:WORDS_PER_PICTURE]
    return tuple(distinct[i] for i in rng.permutation(len(distinct)))


def truths_of(thing: Thing | None, vocabulary: Sequence[str]) -> Floats:
    """1 where a word is true of the thing: float32, (words,)."""
    true = {*GENERIC_WORDS, *(words_of(thing) if thing is not None else ())}
    return np.array([word in true for word in vocabulary], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """``pixels``: uint8, (b, 3, size, size). ``boxes``: (n, 4), centre and size, 0-1. ``owners``: (n,), the
    picture of each. ``truths``: (b, most things, words)."""

    pixels: torch.Tensor
    vocabularies: tuple[tuple[str, ...], ...]
    owners: torch.Tensor
    boxes: torch.Tensor
    truths: torch.Tensor


def collate(views: Sequence[View], size: int, rng: np.random.Generator) -> Batch:
    """Views with a vocabulary each, padded with its own words as in serving."""
    pixels, vocabularies, owners, boxes = [], [], [], []
    truths = np.zeros((len(views), max(len(v.things) for v in views), WORDS_PER_PICTURE), np.float32)
    for index, view in enumerate(views):
        vocabulary = sample_vocabulary(view.things, rng)
        padded = tuple(vocabulary[i % len(vocabulary)] for i in range(WORDS_PER_PICTURE))
        square, scale, (left, top) = letterbox(view.image, size)
        named = 0
        for thing, box in zip(view.things, view.boxes_xyxy, strict=True):
            true = truths_of(thing, padded)
            if true.any():
                x0, y0, x1, y1 = (box * scale + (left, top, left, top)) / size
                boxes.append(((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0))
                owners.append(index)
                truths[index, named] = true
                named += 1
        pixels.append(square.transpose(2, 0, 1))
        vocabularies.append(padded)
    most = max((owners.count(i) for i in range(len(views))), default=0)
    return Batch(
        torch.from_numpy(np.stack(pixels)),
        tuple(vocabularies),
        torch.tensor(owners, dtype=torch.float32),
        torch.tensor(np.array(boxes, np.float32).reshape(-1, 4)),
        torch.from_numpy(truths[:, :most]),
    )


class Batches(IterableDataset[Batch]):
    """Batches, from the seed alone; drawn ahead in one worker process."""

    def __init__(self, sizes: Sequence[int], count: int, seed: int) -> None:
        """``sizes``: side of the pictures of each batch, in pixels. ``count``: pictures a batch."""
        self._sizes = sizes
        self._count = count
        self._seed = seed

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        rng = np.random.default_rng(self._seed)
        views = sample_views(rng, split="train")
        for size in self._sizes:
            yield collate([next(views) for _ in range(self._count)], size, rng)
