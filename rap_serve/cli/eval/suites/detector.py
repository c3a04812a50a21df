"""The detector as the service runs it: boxes and labels of the regions that ``/retrieve`` gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rap_serve.cli.client import Box
from rap_serve.cli.eval.bench import Bench, Look
from rap_serve.cli.eval.bootstrap import Figure, Sums, share_of, weights, with_interval
from rap_serve.cli.eval.pack import Pack, PackPicture, Shown
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size
from rap_serve.cli.scoring import SAME_PLACE_IOU
from rap_serve.cli.wire import RegionJson
from rap_serve.domain.region import WHOLE_PICTURE, intersection_over_union

ANYTHING = "anything"
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """A region of one picture that claims a class, and whether a labelled thing of that class backs it."""

    picture: int
    label: str
    score: float
    true: bool


@dataclass(frozen=True, slots=True)
class Detected:
    """The claims over all pictures, and per picture how many things of each class there were and were found."""

    claims: tuple[Claim, ...]
    there: tuple[Mapping[str, int], ...]


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """mAP at IoU 0.5 and recall at IoU 0.5 for each vocabulary, which is a user's categories, and its pictures.

    The user named ``groups`` is asked with words wider than the things' own, ``words`` with their own,
    ``object`` with no category at all. Every set of pictures is also scored without regard to labels.
    """
    rows: list[Row] = []
    with bench.remembered(pack.libraries):
        for user, tag in sorted({(p.user, p.tag) for p in pack.pictures}):
            pictures = [p for p in pack.pictures if (p.user, p.tag) == (user, tag)]
            found = bench.look([Look(p.user, p.image, top_k=1) for p in pictures], f"{tag}, {user}")
            regions = [[r for r in f["regions"] if r["label"] != WHOLE_PICTURE] for f in found]
            rows += _rows(tag, user, pictures, regions)
    return Measured(
        tuple(rows), notes=(f"At most as many regions a picture as the service returns; {len(pack.pictures)} looks.",)
    )


def _rows(tag: str, user: str, pictures: Sequence[PackPicture], regions: Sequence[Sequence[RegionJson]]) -> list[Row]:
    rows = []
    if user != "object":
        named = matched(pictures, regions, by_label=True, wide=user == "groups")
        rows.append(Row(f"{tag}, vocabulary {user}", "mAP50", mean_average_precision(named)))
        rows.append(Row(f"{tag}, vocabulary {user}", "recall@0.5 with the right label", _recall(named)))
    blind = matched(pictures, regions, by_label=False, wide=False)
    rows.append(Row(f"{tag}, vocabulary {user}, labels ignored", "mAP50", mean_average_precision(blind)))
    rows.append(Row(f"{tag}, vocabulary {user}, labels ignored", "recall@0.5", _recall(blind)))
    return rows


def matched(
    pictures: Sequence[PackPicture], regions: Sequence[Sequence[RegionJson]], *, by_label: bool, wide: bool
) -> Detected:
    """Each region's claim, matched greedily, surest first, each thing once. ``wide``: a thing's class is its group."""
    claims: list[Claim] = []
    there: list[dict[str, int]] = []
    for place, (picture, found) in enumerate(zip(pictures, regions, strict=True)):
        things = [(_class(o, by_label, wide), o.box_xyxy) for o in picture.objects if o.box_xyxy is not None]
        there.append({c: sum(c == other for other, _ in things) for c, _ in things})
        free = list(things)
        for region in sorted(found, key=lambda r: -r["score"]):
            label = region["label"] if by_label else ANYTHING
            hit = _best(region, [t for t in free if t[0] == label])
            if hit is not None:
                free.remove(hit)
            claims.append(Claim(place, label, region["score"], hit is not None))
    return Detected(tuple(claims), tuple(there))


def mean_average_precision(found: Detected) -> Figure:
    """The mean over classes of the area under precision-recall, every point counted; pictures are resampled."""
    classes = sorted({c for there in found.there for c in there})
    n = sum(sum(there.values()) for there in found.there)
    if not classes:
        return share_of(())
    units = len(found.there)
    drawn = np.vstack([np.ones((1, units)), weights(units, 0, resamples=RESAMPLES)])
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = np.stack([_area(found, each, drawn) for each in classes])
        means = np.nansum(areas, axis=0) / np.isfinite(areas).sum(axis=0)
    return with_interval(float(means[0]), means[1:], n=n, units=units)


def _area(found: Detected, label: str, drawn: Sums) -> NDArray[np.float64]:
    """Average precision per row of ``drawn``, (resamples, pictures); NaN where the class does not occur."""
    total = drawn @ np.array([there.get(label, 0) for there in found.there], np.float64)
    claims = sorted((c for c in found.claims if c.label == label), key=lambda c: -c.score)
    if not claims:
        return np.where(total > 0, 0.0, np.nan)
    counted = drawn[:, [c.picture for c in claims]]
    true = counted * np.array([c.true for c in claims], np.float64)
    hits = true.cumsum(axis=1)
    precision = np.nan_to_num(hits / counted.cumsum(axis=1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((true * envelope).sum(axis=1) / np.where(total > 0, total, np.nan), np.float64)


def _recall(found: Detected) -> Figure:
    """Things that some region of their class overlaps, over things."""
    hits = np.zeros(len(found.there))
    for claim in found.claims:
        hits[claim.picture] += claim.true
    return share_of((hit, sum(there.values())) for hit, there in zip(hits.tolist(), found.there, strict=True))


def _class(thing: Shown, by_label: bool, wide: bool) -> str:
    if not by_label:
        return ANYTHING
    return thing.group if wide else thing.category


def _best(region: RegionJson, things: Sequence[tuple[str, Box]]) -> tuple[str, Box] | None:
    x0, y0, x1, y1 = region["box_xyxy"]

    def overlap(thing: tuple[str, Box]) -> float:
        left, top, right, bottom = thing[1]
        return intersection_over_union((x0, y0, x1, y1), (left, top, right, bottom))

    best = max(things, key=overlap, default=None)
    return best if best is not None and overlap(best) >= SAME_PLACE_IOU else None
