"""Captions: which of the user's concepts they name, with one to six of them in a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

from rap_serve.cli.eval.answers import judge
from rap_serve.cli.eval.bench import Ask, Bench, Reply
from rap_serve.cli.eval.bootstrap import Sums, figure, share_of
from rap_serve.cli.eval.pack import Pack, PackPicture
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size, concept_count, groups_by_seen
from rap_serve.domain.concept import fold_name

REQUEST = "Give a caption of the image."
"""The words of RAP's evaluation."""


@dataclass(frozen=True, slots=True)
class Captioned:
    """A picture and what its caption said. ``evidence``: what had entered the prompt."""

    picture: PackPicture
    text: str
    right: frozenset[str]
    wrong: frozenset[str]
    evidence: frozenset[str]


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """Concept recall, precision and F1, summed over pictures and averaged over them."""
    with bench.remembered(pack.libraries):
        found = captioned(bench, pack, pack.pictures)
    return Measured(rows(found), tuple(_case(c) for c in found))


def captioned(
    bench: Bench, pack: Pack, pictures: Sequence[PackPicture], *, known: int | None = None
) -> list[Captioned]:
    """The captions of pictures whose users' concepts are remembered; ``known``: only the first so many of them."""
    asks = [Ask(p.user, REQUEST, p.image, _true_names(p) if bench.oracle else None) for p in pictures]
    replies = bench.ask(asks, "captioning")
    return [_captioned(p, r, pack.library(p.user).names[:known]) for p, r in zip(pictures, replies, strict=True)]


def rows(found: Sequence[Captioned]) -> tuple[Row, ...]:
    """All measures, for each number of concepts and for all pictures."""
    counts = sorted({len(c.picture.names) for c in found})
    groups = [[c for c in found if len(c.picture.names) == k] for k in counts]
    named = [(concept_count(group[0].picture), group) for group in groups]
    if len(named) > 1:
        named.append(("all", list(found)))
    return tuple(r for group, part in named for r in measures(group, part)) + _by_seen(found)


def measures(group: str, found: Sequence[Captioned]) -> tuple[Row, ...]:
    """Recall, precision and F1 of the names said (micro), their means over pictures (macro), and of the evidence.

    A picture without any name said has no precision of its own and leaves the macro precision alone.
    """
    said = [(len(c.right), len(c.picture.names), len(c.right | c.wrong)) for c in found]
    each = [(_ratio(r, e), _ratio(r, s), float(s > 0), _ratio(2 * r, e + s), 1.0) for r, e, s in said]
    offered = [(len(c.evidence & c.picture.names), len(c.picture.names), len(c.evidence)) for c in found]
    expected, spoken = sum(e for _, e, _ in said), sum(s for _, _, s in said)
    n = len(found)
    return (
        Row(group, "recall", figure(said, recall, n=expected)),
        Row(group, "precision", figure(said, precision, n=spoken)),
        Row(group, "F1", figure(said, f1, n=expected)),
        Row(group, "macro recall", figure(each, lambda s: s[..., 0] / s[..., 4], n=n)),
        Row(group, "macro precision", figure(each, lambda s: s[..., 1] / s[..., 2], n=int(sum(e[2] for e in each)))),
        Row(group, "macro F1", figure(each, lambda s: s[..., 3] / s[..., 4], n=n)),
        Row(group, "exactly the right names", share_of((int(r == e == s), 1) for r, e, s in said)),
        Row(group, "recall of the evidence", figure(offered, recall, n=expected)),
        Row(group, "precision of the evidence", figure(offered, precision, n=sum(s for _, _, s in offered))),
    )


def recall(sums: Sums) -> Sums:
    """Of the columns right, expected, said."""
    return sums[..., 0] / sums[..., 1]


def precision(sums: Sums) -> Sums:
    """Of the columns right, expected, said."""
    return sums[..., 0] / sums[..., 2]


def f1(sums: Sums) -> Sums:
    """Of the columns right, expected, said."""
    return 2 * sums[..., 0] / (sums[..., 1] + sums[..., 2])


def _by_seen(found: Sequence[Captioned]) -> tuple[Row, ...]:
    """Recall of concepts whose category the models were trained on, and of the others."""
    shown = [[(o.seen, fold_name(o.name)) for o in c.picture.objects if o.name is not None] for c in found]
    groups = groups_by_seen(seen for each in shown for seen, _ in each)
    return tuple(
        Row(
            group,
            "recall",
            share_of(
                (sum(name in c.right for seen, name in each if seen is value), sum(seen is value for seen, _ in each))
                for c, each in zip(found, shown, strict=True)
                if any(seen is value for seen, _ in each)
            ),
        )
        for group, value in groups.items()
    )


def _captioned(picture: PackPicture, reply: Reply, names: Sequence[str]) -> Captioned:
    right, wrong = judge(reply.text, names, picture.names)
    return Captioned(picture, reply.text, right, wrong, reply.evidence)


def _true_names(picture: PackPicture) -> tuple[str, ...]:
    return tuple(o.name for o in picture.objects if o.name is not None)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _case(c: Captioned) -> dict[str, object]:
    said = {"right": sorted(c.right), "wrong": sorted(c.wrong), "evidence": sorted(c.evidence)}
    return {"image": c.picture.image.name, "expected": sorted(c.picture.names), "answer": c.text, **said}
