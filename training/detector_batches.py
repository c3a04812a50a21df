"""What the detector is shown: batches of views, each with a vocabulary of its own.

A word is true of a thing, a thing may have several true words, and what has none in its picture's
vocabulary is background there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from rap_serve.adapters.yolo_world import GENERIC_WORDS, letterbox
from training.detector_scenes import View, sample_views
from training.world.things import CATEGORIES, GROUPS, KINDS, Thing

Floats = NDArray[np.float32]

GENERIC = tuple(sorted(GENERIC_WORDS))
WORDS_PER_PICTURE = 44
"""Room for every category that training has, a generic word and a few more."""


def words_of(thing: Thing) -> tuple[str, ...]:
    """Every word and phrase that is true of the thing, its category first; the generic ones are left out."""
    kind = KINDS[thing.category]
    phrases = (f"{thing.base} {thing.category}", f"{kind.forms[thing.form]} {thing.category}")
    return tuple(dict.fromkeys((thing.category, kind.group, *kind.synonyms, *phrases)))


ALL_WORDS = tuple(
    dict.fromkeys(word for name in CATEGORIES for word in (name, KINDS[name].group, *KINDS[name].synonyms))
)
"""What training may look for: no word of a held-out category, but every group."""


def sample_vocabulary(
    things: Sequence[Thing | None], rng: np.random.Generator, *, generic_share: float = 0.3
) -> tuple[str, ...]:
    """Words to look for in a picture of ``things``; None is something without a category.

    Whole lists of categories or groups make each thing choose among its rivals; a mixture of words teaches
    synonyms and phrases; a generic word on its own teaches what a thing is as such. ``generic_share``: how many
    of the other vocabularies have one too.
    """
    generic = [GENERIC[rng.integers(len(GENERIC))]]
    plan = rng.random()
    if plan < 0.12:
        return tuple(generic)
    words = generic if rng.random() < generic_share else []
    if plan < 0.37:
        words = [*words, *CATEGORIES]
    elif plan < 0.62:
        words = [*words, *GROUPS]
    else:
        words = [*words, *_some_true(things, rng)]
        words += [ALL_WORDS[i] for i in rng.integers(0, len(ALL_WORDS), int(rng.integers(3, 16)))]
    distinct = list(dict.fromkeys(words))[:WORDS_PER_PICTURE]
    return tuple(distinct[i] for i in rng.permutation(len(distinct)))


def _some_true(things: Sequence[Thing | None], rng: np.random.Generator) -> Iterator[str]:
    """A true word of most things, now and then the category in a colour that may be wrong."""
    for thing in things:
        if thing is not None and rng.random() < 0.85:
            true = words_of(thing)
            yield true[0] if rng.random() < 0.5 else true[rng.integers(len(true))]
            if rng.random() < 0.1:
                yield f"{('red', 'blue', 'white', 'black')[rng.integers(4)]} {thing.category}"


def truths_of(thing: Thing | None, vocabulary: Sequence[str]) -> Floats:
    """1 where a word is true of the thing: float32, (words,)."""
    true = {*GENERIC_WORDS, *(words_of(thing) if thing is not None else ())}
    return np.array([word in true for word in vocabulary], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """``pixels``: uint8, (b, 3, size, size). ``boxes``: (n, 4), centre and size, 0-1. ``owners``: (n,), the
    picture of each. ``truths``: (b, most things, words). ``naming``: bool, (b, words), false for generic
    words and for repeats."""

    pixels: torch.Tensor
    vocabularies: tuple[tuple[str, ...], ...]
    owners: torch.Tensor
    boxes: torch.Tensor
    truths: torch.Tensor
    naming: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch with its tensors on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "vocabularies"}
        return replace(self, **moved)


def collate(views: Sequence[View], size: int, rng: np.random.Generator, *, generic_share: float = 0.3) -> Batch:
    """Views with a vocabulary each, padded with its own words as in serving."""
    pixels, vocabularies, owners, boxes = [], [], [], []
    truths = np.zeros((len(views), max(len(v.things) for v in views), WORDS_PER_PICTURE), np.float32)
    for index, view in enumerate(views):
        vocabulary = sample_vocabulary(view.things, rng, generic_share=generic_share)
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
        torch.from_numpy(np.stack([_naming(words) for words in vocabularies])),
    )


def _naming(words: Sequence[str]) -> NDArray[np.bool_]:
    return np.array([word not in GENERIC_WORDS and word not in words[:i] for i, word in enumerate(words)])


class Batches(IterableDataset[Batch]):
    """Batches that follow from the seed alone; drawn ahead in one worker process."""

    def __init__(self, sizes: Sequence[int], count: int, seed: Sequence[int], *, generic_share: float = 0.3) -> None:
        """``sizes``: side of the pictures of each batch, in pixels. ``count``: pictures a batch."""
        self._sizes = sizes
        self._count = count
        self._seed = seed
        self._generic_share = generic_share

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        rng = np.random.default_rng(self._seed)
        views = sample_views(rng, split="train")
        for size in self._sizes:
            drawn = [next(views) for _ in range(self._count)]
            yield collate(drawn, size, rng, generic_share=self._generic_share)
