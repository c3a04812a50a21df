"""How many concepts a library can hold before the right ones are no longer among the first K retrieved."""

from collections.abc import Sequence

from rap_serve.cli.eval.bench import Bench, Look
from rap_serve.cli.eval.bootstrap import figure
from rap_serve.cli.eval.pack import Pack, PackPicture
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size, library_sizes
from rap_serve.cli.wire import RetrievalJson
from rap_serve.domain.concept import fold_name

TOP = (1, 2, 3, 4, 5)
DETECTED, GIVEN = "detector", "boxes given"


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """Recall and precision of the first K concepts of a picture, in growing libraries, for the same pictures."""
    library = pack.only_library()
    rows: list[Row] = []
    with_boxes = all(len(p.targets) == len(p.names) for p in pack.pictures)
    for count in bench.growing(library, library_sizes(size, library)):
        for mode in (GIVEN, DETECTED) if with_boxes else (DETECTED,):
            found = bench.look([_look(p, mode) for p in pack.pictures], f"N = {count}, {mode}")
            rows += _rows(f"N = {count}, {mode}", pack.pictures, found)
    return Measured(tuple(rows))


def ranked(found: RetrievalJson) -> list[str]:
    """The concepts of all regions, folded, by the best similarity that any region has with them."""
    best: dict[str, float] = {}
    for region in found["regions"]:
        for candidate in region["candidates"]:
            name = fold_name(candidate["name"])
            best[name] = max(candidate["similarity"], best.get(name, -1.0))
    return sorted(best, key=lambda name: -best[name])


def _rows(group: str, pictures: Sequence[PackPicture], found: Sequence[RetrievalJson]) -> list[Row]:
    orders = [(picture.names, ranked(answer)) for picture, answer in zip(pictures, found, strict=True)]
    rows = []
    for k in TOP:
        counts = [(len(names & set(order[:k])), len(names), len(order[:k])) for names, order in orders]
        expected, offered = sum(c[1] for c in counts), sum(c[2] for c in counts)
        rows.append(Row(group, f"recall@{k}", figure(counts, lambda s: s[..., 0] / s[..., 1], n=expected)))
        rows.append(Row(group, f"precision@{k}", figure(counts, lambda s: s[..., 0] / s[..., 2], n=offered)))
    return rows


def _look(picture: PackPicture, mode: str) -> Look:
    boxes = tuple(t.box_xyxy for t in picture.targets) if mode == GIVEN else None
    return Look(picture.user, picture.image, boxes, top_k=max(TOP))
