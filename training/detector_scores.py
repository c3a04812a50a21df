"""Scores of detected regions against what pictures show: recall, average precision, naming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.region import BoxXyxy, Pixels, Region, intersection_over_union

OVERLAP = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A picture, what to look for in it, and what there is: the right word and a box each."""

    image: Pixels
    vocabulary: tuple[str, ...]
    things: tuple[tuple[str, BoxXyxy], ...]

    def as_one(self, word: str) -> Labelled:
        """The same picture where ``word`` is all there is to find, and right for everything."""
        return replace(self, vocabulary=(word,), things=tuple((word, box) for _, box in self.things))


Found = Sequence[tuple[Region, ...]]


def recall(pictures: Sequence[Labelled], found: Found, overlap: float = OVERLAP) -> float:
    """Share of things that some region, whatever its label, overlaps by ``overlap`` or more."""
    best = [
        max((intersection_over_union(box, region.box_xyxy) for region in regions), default=0.0)
        for picture, regions in zip(pictures, found, strict=True)
        for _, box in picture.things
    ]
    return float((np.array(best) >= overlap).mean())


def recall_by_count(pictures: Sequence[Labelled], found: Found) -> dict[int, float]:
    """Recall in pictures of one thing, of two, and so on."""
    counts = sorted({len(picture.things) for picture in pictures} - {0})
    return {count: recall(*_only(pictures, found, count)) for count in counts}


def _only(pictures: Sequence[Labelled], found: Found, count: int) -> tuple[list[Labelled], list[tuple[Region, ...]]]:
    chosen = [i for i, picture in enumerate(pictures) if len(picture.things) == count]
    return [pictures[i] for i in chosen], [found[i] for i in chosen]


def naming(pictures: Sequence[Labelled], found: Found) -> dict[str, float]:
    """Of the things that a region overlaps by half, how many their best region labels rightly; ``all``: of all."""
    right: dict[str, list[bool]] = {}
    for picture, regions in zip(pictures, found, strict=True):
        for name, box in picture.things:
            overlaps = [intersection_over_union(box, region.box_xyxy) for region in regions]
            if overlaps and max(overlaps) >= OVERLAP:
                right.setdefault(name, []).append(regions[int(np.argmax(overlaps))].label == name)
    every = [hit for hits in right.values() for hit in hits]
    return {"all": float(np.mean(every)), **{name: float(np.mean(hits)) for name, hits in sorted(right.items())}}


def average_precisions(pictures: Sequence[Labelled], found: Found) -> dict[str, float]:
    """AP50 of each word that something is right for: area under the interpolated precision-recall curve."""
    names = sorted({name for picture in pictures for name, _ in picture.things})
    return {name: _average_precision(name, pictures, found) for name in names}


def _average_precision(name: str, pictures: Sequence[Labelled], found: Found) -> float:
    scored: list[tuple[float, bool]] = []
    total = 0
    for picture, regions in zip(pictures, found, strict=True):
        free = [box for label, box in picture.things if label == name]
        total += len(free)
        for region in (region for region in regions if region.label == name):
            overlaps = [intersection_over_union(box, region.box_xyxy) for box in free]
            hit = bool(overlaps) and max(overlaps) >= OVERLAP
            scored.append((region.score, hit))
            if hit:
                free.pop(int(np.argmax(overlaps)))
    hits = np.array([hit for _, hit in sorted(scored, key=lambda item: -item[0])], np.float64)
    reached = np.cumsum(hits) / total
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    envelope: NDArray[np.float64] = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(reached, prepend=0.0) * envelope).sum())
