"""Pictures of nothing the user has shown: how often the service recognises something all the same."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rap_serve.cli.eval.answers import judge
from rap_serve.cli.eval.bench import Ask, Bench, Look
from rap_serve.cli.eval.bootstrap import per_unit, share_of
from rap_serve.cli.eval.pack import Pack, PackPicture
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size, captioning
from rap_serve.cli.wire import RetrievalJson
from rap_serve.domain.concept import fold_name
from rap_serve.domain.region import WHOLE_PICTURE

RECALLS = tuple(r / 100 for r in (50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 99, 100))
WANTED_RECALL = 0.95
MISSED = -2.0
"""Below any cosine: a concept that leads no region."""

OPERATING = "operating point"


@dataclass(frozen=True, slots=True)
class Scored:
    """One picture's claims before any threshold: per concept the best similarity with which it leads a region."""

    names: frozenset[str]
    claims: dict[str, float]
    accepted: frozenset[str]


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """False accepts per picture: as the service decides, in its captions, and at given recalls from its candidates."""
    empty = [p for p in pack.pictures if not p.names]
    with bench.remembered(pack.libraries):
        detected = _scored(bench, pack.pictures, given=False)
        given = _scored(bench, pack.pictures, given=True) if _has_boxes(pack.pictures) else []
        replies = bench.ask([Ask(p.user, captioning.REQUEST, p.image) for p in empty], "captioning")
    said = [judge(r.text, pack.library(p.user).names, frozenset())[1] for p, r in zip(empty, replies, strict=True)]
    rows = [
        *_operating(detected),
        Row(OPERATING, "captions that say a name", share_of((int(bool(s)), 1) for s in said)),
    ]
    curve, notes = [], []
    for mode, scored in (("detector", detected), ("boxes given", given)):
        if scored:
            points, found, note = _at_recalls(mode, scored)
            curve += points
            rows += found
            notes += note
    cases = [{"image": p.image.name, "answer": r.text} for p, r in zip(empty, replies, strict=True)]
    return Measured(tuple(rows), tuple(cases), tuple(curve), tuple(notes))


def claims_of(found: RetrievalJson, *, given: bool) -> dict[str, float]:
    """Per concept the highest similarity with which it leads a region; the whole picture counts where it is alone.

    Similarity is what the service tells strangers by; confidence tells the owner's own concepts apart.
    """
    regions = [r for r in found["regions"] if given or r["label"] != WHOLE_PICTURE] or found["regions"]
    best: dict[str, float] = {}
    for region in regions:
        if region["candidates"]:
            first = region["candidates"][0]
            name = fold_name(first["name"])
            best[name] = max(best.get(name, -1.0), first["similarity"])
    return best


def threshold_for(scored: Sequence[Scored], recall: float) -> float | None:
    """The highest similarity that still accepts this share of the concepts that are there; None out of reach."""
    right = sorted((s.claims.get(name, MISSED) for s in scored for name in s.names), reverse=True)
    needed = int(np.ceil(recall * len(right) - 1e-9))
    if not right or right[needed - 1] == MISSED:
        return None
    return right[needed - 1]


def _at_recalls(mode: str, scored: Sequence[Scored]) -> tuple[list[dict[str, object]], list[Row], list[str]]:
    points: list[dict[str, object]] = []
    for recall in RECALLS:
        threshold = threshold_for(scored, recall)
        if threshold is not None:
            counts = _false_accepts(scored, threshold)
            points.append({"mode": mode, "recall": recall, "threshold": threshold, "value": float(np.mean(counts))})
    threshold = threshold_for(scored, WANTED_RECALL)
    if threshold is None:
        reached = np.mean([name in s.claims for s in scored for name in s.names])
        return (
            points,
            [],
            [f"{mode}: a recall of 95 % is out of reach; {100 * reached:.1f} % of the concepts lead a region."],
        )
    counts = _false_accepts(scored, threshold)
    group = f"at 95 % recall, {mode}"
    rows = [
        Row(group, "false accepts per picture", per_unit(counts)),
        Row(group, "pictures with a false accept", share_of((int(c > 0), 1) for c in counts)),
    ]
    return points, rows, []


def _false_accepts(scored: Sequence[Scored], threshold: float) -> list[int]:
    return [sum(c >= threshold for c in s.claims.values()) for s in scored if not s.names]


def _operating(scored: Sequence[Scored]) -> list[Row]:
    false = [len(s.accepted) for s in scored if not s.names]
    rows = [
        Row(OPERATING, "false accepts per picture", per_unit(false)),
        Row(OPERATING, "pictures with a false accept", share_of((int(c > 0), 1) for c in false)),
    ]
    shown = [(len(s.accepted & s.names), len(s.names)) for s in scored if s.names]
    return [*rows, Row(OPERATING, "recall", share_of(shown))] if shown else rows


def _scored(bench: Bench, pictures: Sequence[PackPicture], *, given: bool) -> list[Scored]:
    looks = [Look(p.user, p.image, _boxes(p) if given else None, top_k=1) for p in pictures]
    found = bench.look(looks, "boxes given" if given else "detector")
    return [
        Scored(p.names, claims_of(f, given=given), frozenset(fold_name(e["name"]) for e in f["evidence"]))
        for p, f in zip(pictures, found, strict=True)
    ]


def _has_boxes(pictures: Sequence[PackPicture]) -> bool:
    return all(p.objects and all(o.box_xyxy is not None for o in p.objects) for p in pictures)


def _boxes(picture: PackPicture) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(o.box_xyxy) for o in picture.objects if o.box_xyxy is not None)
