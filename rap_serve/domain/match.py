"""From similarities to what may be said: candidates, calibrated confidence, and authorised evidence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.region import WHOLE_PICTURE, BoxXyxy, Region

Matrix: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A concept that a region may show, before any threshold. ``similarity``: cosine, -1 to 1."""

    concept_id: str
    name: str
    avatar_id: str
    similarity: float
    confidence: float


@dataclass(frozen=True, slots=True)
class RegionCandidates:
    """A region and its candidates, best first."""

    region: Region
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A concept that was allowed into the prompt, and what allowed it."""

    concept_id: str
    name: str
    version: int
    avatar_id: str
    source: Literal["region", "mention"]
    box_xyxy: BoxXyxy | None = None
    similarity: float | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a similarity of one embedder means, measured on pairs of known identity.

    ``slope`` and ``midpoint`` are of the logistic that maps a similarity to the probability that both
    pictures show the same thing. ``tail_survival[i]`` is the share of different things that reach
    ``tail_similarity[i]``; survival falls while similarity rises.
    """

    slope: float
    midpoint: float
    tail_survival: tuple[float, ...]
    tail_similarity: tuple[float, ...]

    def confidence(self, similarity: float) -> float:
        """Probability, 0-1, that two pictures this similar show the same thing."""
        return 1.0 / (1.0 + math.exp(-self.slope * (similarity - self.midpoint)))

    def threshold(self, *, concepts: int, false_accept_rate: float) -> float:
        """The similarity at which a region that shows none of ``concepts`` is accepted this rarely.

        With N independent comparisons a region's rate is 1 - (1 - p)^N, so each may accept with
        p = 1 - (1 - rate)^(1 / N). Between and beyond measured points the log survival is a straight line.
        """
        per_comparison = -math.expm1(math.log1p(-false_accept_rate) / max(1, concepts))
        log_survival = -np.log(np.asarray(self.tail_survival))
        target = -math.log(per_comparison)
        if target > log_survival[-1]:
            rise = (self.tail_similarity[-1] - self.tail_similarity[-2]) / (log_survival[-1] - log_survival[-2])
            return float(min(1.0, self.tail_similarity[-1] + rise * (target - log_survival[-1])))
        return float(np.interp(target, log_survival, self.tail_similarity))


@dataclass(frozen=True, slots=True)
class AuthorisationPolicy:
    """How sure the service must be before it names a concept.

    ``false_accept_rate``: per region, over the owner's whole library. ``margin``: least distance in
    similarity to the runner-up of the same region. ``same_thing_overlap``: the share of the smaller box
    from which two boxes count as one thing. ``max_evidence``: how many concepts a prompt holds.
    """

    false_accept_rate: float = 0.03
    margin: float = 0.1
    same_thing_overlap: float = 0.7
    max_evidence: int = 4


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Row and column of a similarity matrix that belong together."""

    region: int
    concept: int
    similarity: float


def authorise(
    regions: Sequence[Region],
    similarities: Matrix,
    *,
    calibration: Calibration,
    policy: AuthorisationPolicy,
) -> list[Acceptance]:
    """The pairs of region and concept that may enter a prompt, surest first.

    ``similarities``: float32, (regions, concepts). A pair is accepted when it passes the open-set
    threshold, leads its region's runner-up by the margin, is the concept's best, and no box of the same
    thing went to a better pair. The whole picture counts only where there is no box.
    """
    if similarities.size == 0:
        return []
    threshold = calibration.threshold(concepts=similarities.shape[1], false_accept_rate=policy.false_accept_rate)
    eligible = [r for r, region in enumerate(regions) if region.label != WHOLE_PICTURE] or list(range(len(regions)))
    best = similarities.argmax(axis=1)
    accepted: list[Acceptance] = []
    for region in sorted(eligible, key=lambda r: -similarities[r, best[r]]):
        pair = Acceptance(region, int(best[region]), float(similarities[region, best[region]]))
        if pair.similarity < threshold or len(accepted) == policy.max_evidence:
            break
        taken = any(_same(regions, other, pair, policy) for other in accepted)
        if not taken and _leads(similarities[region], pair.concept, policy):
            accepted.append(pair)
    return accepted


def authorise_named(
    regions: Sequence[Region],
    similarities: Matrix,
    named: Sequence[int],
    *,
    taken: Sequence[Acceptance],
    calibration: Calibration,
    policy: AuthorisationPolicy,
) -> list[Acceptance]:
    """The concepts out of ``named`` that the picture shows, beyond those ``taken`` already.

    Where few are asked for by name, the rate is that of a false "yes" over all regions, and the threshold counts
    the comparisons that are made. No region, the whole picture included, supports two concepts.
    """
    accepted: list[Acceptance] = []
    comparisons = len(named) * len(regions)
    threshold = calibration.threshold(concepts=comparisons, false_accept_rate=policy.false_accept_rate)
    for concept in named:
        free = [r for r in range(len(regions)) if r not in {a.region for a in (*taken, *accepted)}]
        region = max(free, key=lambda r: similarities[r, concept], default=None)
        if region is not None and similarities[region, concept] >= threshold:
            accepted.append(Acceptance(region, concept, float(similarities[region, concept])))
    return accepted


def _leads(row: Matrix, concept: int, policy: AuthorisationPolicy) -> bool:
    others = np.delete(row, concept)
    return others.size == 0 or float(row[concept] - others.max()) >= policy.margin


def _same(regions: Sequence[Region], a: Acceptance, b: Acceptance, policy: AuthorisationPolicy) -> bool:
    """Whether two pairs speak of one concept or of one thing in the picture."""
    overlap = _overlap(regions[a.region].box_xyxy, regions[b.region].box_xyxy)
    return a.concept == b.concept or overlap >= policy.same_thing_overlap


def _overlap(a: BoxXyxy, b: BoxXyxy) -> float:
    """Shared area over the smaller box's area, 0-1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
