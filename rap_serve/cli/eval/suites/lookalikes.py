"""Two things that differ in exactly one attribute, both remembered: which of the two a new picture is taken for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rap_serve.cli.eval.bench import Bench, Look
from rap_serve.cli.eval.bootstrap import Figure, share_of
from rap_serve.cli.eval.pack import Pack, PackPicture, Pair
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size
from rap_serve.cli.scoring import overlapping
from rap_serve.cli.wire import CandidateJson, RetrievalJson
from rap_serve.domain.concept import fold_name

TOP_K = 100
PAIR, LIBRARY = "top-1 of the pair", "top-1 of the library"


@dataclass(frozen=True, slots=True)
class Told:
    """One picture of one of a pair, and whether it was told apart; a thing the detector missed was not."""

    pair: Pair
    among_pair: bool
    among_all: bool


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """Top-1 of the pair and of the whole library, over all pairs and per attribute, boxes given and detected."""
    pairs = {(p.user, fold_name(n)): p for p in pack.pairs for n in (p.first, p.second)}
    pictures = [p for p in pack.pictures if p.targets and (p.user, *p.names) in pairs]
    rows: list[Row] = []
    with bench.remembered(pack.libraries):
        for given in (True, False):
            looks = [
                Look(p.user, p.image, tuple(t.box_xyxy for t in p.targets) if given else None, TOP_K) for p in pictures
            ]
            found = bench.look(looks, "telling apart")
            told = [_told(pairs, p, f, given=given) for p, f in zip(pictures, found, strict=True)]
            rows += _rows(told, "" if given else ", detector")
    return Measured(tuple(rows))


def _rows(told: Sequence[Told], suffix: str) -> list[Row]:
    rows = [Row(f"all{suffix}", PAIR, _share(told, pair=True)), Row(f"all{suffix}", LIBRARY, _share(told, pair=False))]
    for attribute in sorted({t.pair.attribute for t in told}):
        part = [t for t in told if t.pair.attribute == attribute]
        rows.append(Row(f"{attribute}{suffix}", PAIR, _share(part, pair=True)))
    return rows


def _told(pairs: Mapping[tuple[str, str], Pair], picture: PackPicture, found: RetrievalJson, *, given: bool) -> Told:
    (name,) = picture.names
    pair = pairs[picture.user, name]
    region = found["regions"][0] if given else overlapping(found["regions"], picture.targets[0].box_xyxy)
    candidates = region["candidates"] if region else []
    both = {fold_name(pair.first), fold_name(pair.second)}
    return Told(pair, _first(candidates, both) == name, _first(candidates, None) == name)


def _first(candidates: Sequence[CandidateJson], among: set[str] | None) -> str | None:
    names = [fold_name(c["name"]) for c in candidates]
    return next((n for n in names if among is None or n in among), None)


def _share(told: Sequence[Told], *, pair: bool) -> Figure:
    """The share told apart; the pictures of one pair are resampled together."""
    units: dict[tuple[str, str], list[bool]] = {}
    for t in told:
        units.setdefault((t.pair.user, t.pair.first), []).append(t.among_pair if pair else t.among_all)
    return share_of((sum(unit), len(unit)) for unit in units.values())
