"""From similarities to what may be said: candidates, calibrated confidence, and authorised evidence.

Two questions decide, and each has a measure of its own. *Would a stranger look so much alike?* is a matter of the
similarity alone, against what pictures of other things reach (``Calibration.threshold``). *Is it this concept rather
than another of the owner's?* is a matter of the distance to the region's best other concept, its rival
(``Calibration.confidences``).
"""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.region import WHOLE_PICTURE, BoxXyxy, Region

Matrix: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A concept that a region may show, before any threshold. ``similarity``: cosine, -1 to 1; ``confidence``: 0-1.

    ``shared_by``: the user whose concept it is, None for the owner's own.
    """

    concept_id: str
    name: str
    avatar_id: str
    similarity: float
    confidence: float
    shared_by: str | None = None


@dataclass(frozen=True, slots=True)
class RegionCandidates:
    """A region and its candidates, best first."""

    region: Region
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A concept that was allowed into the prompt, and what allowed it.

    ``source``: a region that shows it, a name in the text, or the request that listed it. ``shared_by``: the user
    whose concept it is, None for the owner's own.
    """

    concept_id: str
    name: str
    version: int
    avatar_id: str
    source: Literal["region", "mention", "request"]
    box_xyxy: BoxXyxy | None = None
    similarity: float | None = None
    confidence: float | None = None
    shared_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the similarities of one embedder mean, measured on pictures of known content.

    ``tail_rate[i]`` is the share of pictures of strangers in which a region reaches ``tail_similarity[i]`` with one
    of ``tail_concepts`` concepts; rates fall while similarities rise. ``slope`` and ``midpoint`` are of the logistic
    that maps ``similarity - rival_share * rival`` to a confidence; ``least_rival`` is the least a rival counts for,
    so that the only concept of an owner has one too. At ``named_confidence``, of a region that resembles the concept
    most, a yes to "is it there?" is wrong as often as a no.
    """

    slope: float
    midpoint: float
    rival_share: float
    least_rival: float
    named_confidence: float
    tail_concepts: int
    tail_rate: tuple[float, ...]
    tail_similarity: tuple[float, ...]

    def confidences(self, similarities: Matrix) -> Matrix:
        """Probability, 0-1, that a region shows a concept and none of the owner's others.

        ``similarities``: float32, (regions, concepts). Returns the same shape. In each row the most similar concept
        has the highest confidence.
        """
        scores = similarities - self.rival_share * np.maximum(rivals(similarities), self.least_rival)
        return np.asarray(1 / (1 + np.exp(-self.slope * (scores - self.midpoint))), dtype=np.float32)

    def confidence(self, similarity: float) -> float:
        """Probability, 0-1, that two pictures this similar show the same thing, where nothing else is known."""
        return float(self.confidences(np.array([[similarity]], np.float32))[0, 0])

    def threshold(self, *, concepts: int, false_accept_rate: float) -> float:
        """The similarity that a picture of strangers reaches this rarely with any of ``concepts``.

        The tail was measured with a library of M concepts. If comparisons are independent, N of them accept with
        1 - (1 - p)^(N / M), so p = 1 - (1 - rate)^(M / N) is what M may accept with. Between and beyond measured
        points the log rate is a straight line of the similarity.
        """
        share = self.tail_concepts / max(1, concepts)
        target = -math.log(-math.expm1(math.log1p(-false_accept_rate) * share))
        rarity = -np.log(np.asarray(self.tail_rate))
        if target > rarity[-1]:
            rise = (self.tail_similarity[-1] - self.tail_similarity[-2]) / (rarity[-1] - rarity[-2])
            return float(min(1.0, self.tail_similarity[-1] + rise * (target - rarity[-1])))
        return float(np.interp(target, rarity, self.tail_similarity))


@dataclass(frozen=True, slots=True)
class AuthorisationPolicy:
    """How sure the service must be before it names a concept.

    ``required``: off lets in whatever resembles a region most, as a bare retriever would. ``false_accept_rate``: the
    share of pictures of none of the owner's things in which one is named all the same.
    ``further_false_accept_rate``: what suffices for a second concept and more, since a picture that shows one of
    somebody's things is likelier to show another. ``same_thing_overlap``: the share of the smaller box from which two
    boxes count as one thing. ``max_evidence``: how many concepts a prompt holds.
    """

    required: bool = True
    false_accept_rate: float = 0.02
    further_false_accept_rate: float = 0.03
    same_thing_overlap: float = 0.7
    max_evidence: int = 6


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Row and column of a similarity matrix that belong together."""

    region: int
    concept: int
    similarity: float
    confidence: float


def rivals(similarities: Matrix) -> Matrix:
    """For each region and concept the region's best similarity to another concept; -1 where there is no other."""
    if similarities.shape[1] < 2:
        return np.full_like(similarities, -1)
    second, first = np.partition(similarities, -2, axis=1)[:, -2:].T
    return np.where(similarities == first[:, None], second[:, None], first[:, None])


def leaders(similarities: Matrix) -> NDArray[np.bool_]:
    """Which concepts are the most similar ones of a region: (regions, concepts)."""
    return np.asarray(similarities == similarities.max(axis=1, keepdims=True, initial=-np.inf))


def authorise(
    regions: Sequence[Region],
    similarities: Matrix,
    confidences: Matrix,
    *,
    calibration: Calibration,
    policy: AuthorisationPolicy,
    considered: Container[int] | None = None,
) -> list[Acceptance]:
    """The pairs of region and concept that may enter a prompt, most alike first.

    ``similarities`` and the ``confidences`` that follow from them: float32, (regions, concepts); minus infinity where
    a region shows a concept for certain not. Each region speaks for its most similar concept alone. The pair is
    accepted when strangers rarely look so much alike, the concept has no better region, and no box of the same thing
    has gone to a better pair. As many are accepted as are there, up to the policy's number.

    ``considered``: the only concepts to return. All take part, for what shows another concept of the owner's does
    not show one of these.
    """
    if similarities.size == 0:
        return []
    comparable = int(np.isfinite(similarities).any(axis=0).sum())
    first, further = _thresholds(calibration, policy, concepts=comparable)
    accepted: list[Acceptance] = []
    for pair in _claims(regions, similarities, confidences):
        if policy.required and pair.similarity < (further if accepted else first):
            break
        if not any(_contradicts(regions, pair, other, policy) for other in accepted):
            accepted.append(pair)
    named = [pair for pair in accepted if considered is None or pair.concept in considered]
    return named[: policy.max_evidence]


def authorise_named(
    regions: Sequence[Region],
    similarities: Matrix,
    confidences: Matrix,
    named: Sequence[int],
    *,
    taken: Sequence[Acceptance],
    calibration: Calibration,
) -> list[Acceptance]:
    """The concepts out of ``named`` that the picture shows, beyond those ``taken`` already.

    Who is asked for by name needs less than who is named unasked: the confidence at which a false yes is as rare as
    a false no. Here too a region speaks for its most similar concept alone, so that of two look-alikes only the one
    that is there is there; a region that is taken says nothing more.
    """
    if similarities.size == 0:
        return []
    lead = leaders(similarities)
    free = [r for r in _eligible(regions) if r not in {a.region for a in taken}]
    accepted: list[Acceptance] = []
    for concept in named:
        speaking = [r for r in free if lead[r, concept]]
        region = max(speaking, key=lambda r: confidences[r, concept], default=None)
        if region is not None and confidences[region, concept] >= calibration.named_confidence:
            accepted.append(_pair(similarities, confidences, region, concept))
            free.remove(region)
    return accepted


def _eligible(regions: Sequence[Region]) -> list[int]:
    """The regions that count: the boxes, and the whole picture only where there is no box."""
    return [r for r, region in enumerate(regions) if region.label != WHOLE_PICTURE] or list(range(len(regions)))


def _thresholds(calibration: Calibration, policy: AuthorisationPolicy, *, concepts: int) -> tuple[float, float]:
    """The similarity that a first concept must reach, and any further one; the second is never the higher."""
    rates = policy.false_accept_rate, max(policy.false_accept_rate, policy.further_false_accept_rate)
    first, further = (calibration.threshold(concepts=concepts, false_accept_rate=rate) for rate in rates)
    return first, further


def _claims(regions: Sequence[Region], similarities: Matrix, confidences: Matrix) -> list[Acceptance]:
    """Each region with its most similar concept, most alike first."""
    best = similarities.argmax(axis=1)
    speaking = [r for r in _eligible(regions) if np.isfinite(similarities[r, best[r]])]
    pairs = [_pair(similarities, confidences, r, int(best[r])) for r in speaking]
    return sorted(pairs, key=lambda pair: -pair.similarity)


def _pair(similarities: Matrix, confidences: Matrix, region: int, concept: int) -> Acceptance:
    similarity, confidence = float(similarities[region, concept]), float(confidences[region, concept])
    return Acceptance(region, concept, similarity, confidence)


def _contradicts(regions: Sequence[Region], a: Acceptance, b: Acceptance, policy: AuthorisationPolicy) -> bool:
    """Whether two pairs speak of one concept, or give one thing in the picture to two."""
    overlap = _overlap(regions[a.region].box_xyxy, regions[b.region].box_xyxy)
    return a.concept == b.concept or (policy.required and overlap >= policy.same_thing_overlap)


def _overlap(a: BoxXyxy, b: BoxXyxy) -> float:
    """Shared area over the smaller box's area, 0-1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))
