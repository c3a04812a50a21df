"""How well retrieval did: counts per picture, rates with intervals, percentiles."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rap_serve.cli.client import Box
from rap_serve.cli.eval.bootstrap import share_of
from rap_serve.cli.wire import CandidateJson, RegionJson, RetrievalJson
from rap_serve.domain.concept import Concept, Owner, fold_name
from rap_serve.domain.mention import mentioned
from rap_serve.domain.region import WHOLE_PICTURE, intersection_over_union

SAME_PLACE_IOU = 0.5
TOP = (1, 3, 5)
PERCENTILES = (50, 90, 99)
_HANDLE = re.compile(r"<(\w[\w .-]*)>")


@dataclass(frozen=True, slots=True)
class Target:
    """Something that a picture shows, and where."""

    name: str
    box_xyxy: Box


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one picture.

    ``ranks``: per target the place of its name among its region's candidates, from 1; None where the region
    or the name is missing. ``located``: per target whether a detected box overlaps it.
    """

    ranks: tuple[int | None, ...]
    located: tuple[bool, ...]
    expected: frozenset[str]
    named: frozenset[str]
    client_ms: float
    service_ms: dict[str, float]
    cache: str


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of ``n``, with the 95 % interval of resampling pictures. NaN where n is 0.

    Where all cases agree resampling says nothing; the interval is then Wilson's over pictures.
    """

    value: float
    hits: int
    n: int
    low: float
    high: float

    def json(self) -> dict[str, Any]:
        """For a report; None for what does not exist."""
        return {k: None if v != v else round(v, 4) for k, v in asdict(self).items()}


def outcome(targets: Sequence[Target], found: RetrievalJson, *, boxes_given: bool, client_ms: float) -> Outcome:
    """Scores one answer of the service; given boxes come back first, in their order."""
    if boxes_given:
        regions: list[RegionJson | None] = list(found["regions"][: len(targets)])
    else:
        regions = [overlapping(found["regions"], t.box_xyxy) for t in targets]
    detected = [r for r in found["regions"] if r["label"] != WHOLE_PICTURE]
    return Outcome(
        ranks=tuple(rank_of(t.name, r["candidates"]) if r else None for t, r in zip(targets, regions, strict=False)),
        located=tuple(overlapping(detected, t.box_xyxy) is not None for t in targets),
        expected=frozenset(fold_name(t.name) for t in targets),
        named=frozenset(fold_name(e["name"]) for e in found["evidence"]),
        client_ms=client_ms,
        service_ms=found["timings_ms"],
        cache=found["cache"],
    )


def rank_of(name: str, candidates: Sequence[CandidateJson]) -> int | None:
    """The place of ``name`` among the candidates, from 1."""
    folded = [fold_name(c["name"]) for c in candidates]
    wanted = fold_name(name)
    return folded.index(wanted) + 1 if wanted in folded else None


def overlapping(regions: Sequence[RegionJson], box: Box) -> RegionJson | None:
    """The region that overlaps ``box`` most, if by an IoU of at least 0.5."""
    target = (box[0], box[1], box[2], box[3])

    def overlap(region: RegionJson) -> float:
        x0, y0, x1, y1 = region["box_xyxy"]
        return intersection_over_union((x0, y0, x1, y1), target)

    best = max(regions, key=overlap, default=None)
    return best if best is not None and overlap(best) >= SAME_PLACE_IOU else None


def rates(outcomes: Sequence[Outcome]) -> dict[str, Rate]:
    """The rates that can be formed: top-k and recall over targets, names over pictures."""
    pairs = {f"top{k}": [(_within(o.ranks, k), len(o.ranks)) for o in outcomes] for k in TOP}
    pairs["detector_recall"] = [(sum(o.located), len(o.located)) for o in outcomes]
    pairs["concepts_in_evidence"] = [(len(o.named & o.expected), len(o.expected)) for o in outcomes]
    pairs["pictures_with_wrong_name"] = [(int(bool(o.named - o.expected)), 1) for o in outcomes]
    return {name: rate(counts) for name, counts in pairs.items() if sum(n for _, n in counts)}


def rate(counts: Sequence[tuple[int, int]], *, seed: int = 0) -> Rate:
    """Hits over cases, both summed over pictures; the bootstrap resamples whole pictures."""
    known = [count for count in counts if count[1]]
    found = share_of(known, seed=seed)
    return Rate(found.value, sum(hits for hits, _ in known), found.n, found.low, found.high)


def latency(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Percentiles in milliseconds: by the client's clock, and by the service's for each step."""
    steps = dict.fromkeys(step for o in outcomes for step in o.service_ms)
    by_step = {f"service {step}": [o.service_ms[step] for o in outcomes if step in o.service_ms] for step in steps}
    return {name: percentiles(ms) for name, ms in {"client": [o.client_ms for o in outcomes], **by_step}.items() if ms}


def percentiles(values: Iterable[float]) -> dict[str, float]:
    """``{"p50": ..., "p90": ..., "p99": ..., "n": ...}``; there must be a value."""
    sample = list(values)
    found = np.percentile(sample, PERCENTILES)
    return {**{f"p{p}": round(float(v), 1) for p, v in zip(PERCENTILES, found, strict=True)}, "n": len(sample)}


def names_in(text: str, names: Collection[str]) -> set[str]:
    """Which of ``names`` the text says, as ``<name>`` or as a whole word, with the service's own rule."""
    ordered = list(names)
    return {ordered[i] for i in mentioned(text, [_named(n) for n in ordered])}


def handles_in(text: str) -> set[str]:
    """Every ``<name>`` that the text says, whether anybody has it or not."""
    return set(_HANDLE.findall(text))


def _named(name: str) -> Concept:
    owner = Owner("evaluation", "evaluation")
    return Concept(id=name, owner=owner, name=name, category="", info="", version=1, created_at=0, updated_at=0)


def _within(ranks: Sequence[int | None], k: int) -> int:
    return sum(rank is not None and rank <= k for rank in ranks)
