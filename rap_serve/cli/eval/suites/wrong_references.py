"""Names backed by wrong pictures: how often an answer says a name whose thing is not in the picture.

After RePIC's table 5: what a prompt may hold are references of other things, and every name said is wrong.
"""

from collections.abc import Mapping, Sequence

from rap_serve.cli.eval.answers import judge, yes_or_no
from rap_serve.cli.eval.bench import Ask, Bench, Reply
from rap_serve.cli.eval.bootstrap import Figure, share_of
from rap_serve.cli.eval.pack import Pack, PackPicture
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size, captioning
from rap_serve.domain.concept import fold_name

FAIL_FROM = 0.08
UTTERED = "answers that utter such a name"
MODES = HANDED, OFFERED, ASKED = "handed over", "offered by the library", "asked for"


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """The share of answers that utter such a name, by how the name came up, with a verdict.

    Handed over: a caption is asked for and the wrong references are the only ones considered. Offered: a caption is
    asked for. Asked for: the question names it; an answer that denies that it is there does not count.
    """
    with bench.remembered(pack.libraries):
        modes = {mode: bench.ask([_ask(p, mode) for p in pack.pictures], mode) for mode in MODES}
    uttered = {mode: _uttered(pack, mode, replies) for mode, replies in modes.items()}
    rows: list[Row] = []
    for mode, hits in uttered.items():
        rows.append(Row(mode, UTTERED, _share(hits)))
        for tag in sorted({p.tag for p in pack.pictures if p.tag}):
            part = [hit for hit, p in zip(hits, pack.pictures, strict=True) if p.tag == tag]
            rows.append(Row(f"{mode}, reference of {tag}", UTTERED, _share(part)))
        rows.append(Row(mode, "prompts that hold such a name", _share([bool(r.evidence) for r in modes[mode]])))
    return Measured(tuple(rows), tuple(_cases(pack, modes, uttered)), notes=(verdict(rows),))


def verdict(rows: Sequence[Row]) -> str:
    """Pass or fail in words: none of the ways in which a name comes up may reach the limit."""
    whole = (r for r in rows if r.measure == UTTERED and r.group in MODES)
    worst = max(whole, key=lambda r: r.figure.value)
    word = "FAIL" if worst.figure.value >= FAIL_FROM else "pass"
    return (
        f"{word}: at worst {100 * worst.figure.value:.1f} % ({worst.group}); {100 * FAIL_FROM:.0f} % or more is a fail."
    )


def _ask(picture: PackPicture, mode: str) -> Ask:
    names = tuple(o.name for o in picture.objects if o.name is not None)
    if mode == ASKED:
        return Ask(picture.user, f"Describe <{names[0]}> in this picture.", picture.image)
    return Ask(picture.user, captioning.REQUEST, picture.image, names if mode == HANDED else None)


def _uttered(pack: Pack, mode: str, replies: Sequence[Reply]) -> list[bool]:
    hits = []
    for picture, reply in zip(pack.pictures, replies, strict=True):
        _, wrong = judge(reply.text, pack.library(picture.user).names, frozenset())
        asked = {fold_name(o.name) for o in picture.objects if o.name is not None} if mode == ASKED else set()
        denied = bool(asked) and wrong <= asked and yes_or_no(reply.text) is False
        hits.append(bool(wrong) and not denied)
    return hits


def _share(hits: Sequence[bool]) -> Figure:
    return share_of((int(hit), 1) for hit in hits)


def _cases(
    pack: Pack, modes: Mapping[str, Sequence[Reply]], uttered: Mapping[str, Sequence[bool]]
) -> list[dict[str, object]]:
    return [
        {"image": p.image.name, "mode": mode, "backed wrongly": sorted(p.names), "answer": r.text, "uttered": hit}
        for mode, replies in modes.items()
        for p, r, hit in zip(pack.pictures, replies, uttered[mode], strict=True)
    ]
