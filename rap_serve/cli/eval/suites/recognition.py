"""Is it in this photo? Asked of what is there and of what is not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rap_serve.cli.eval.answers import yes_or_no
from rap_serve.cli.eval.bench import Ask, Bench
from rap_serve.cli.eval.bootstrap import Figure, figure, share_of
from rap_serve.cli.eval.pack import Pack, Question
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size, groups_by_seen

WHY_NOT = {
    "other": "negative: another concept is there instead",
    "lookalike": "negative: a look-alike is there instead",
    "nothing": "negative: no concept is there",
}


@dataclass(frozen=True, slots=True)
class Recognised:
    """A question and what was answered; None where it was neither yes nor no."""

    question: Question
    text: str
    said: bool | None

    @property
    def present(self) -> bool:
        return self.question.answer == "yes"

    @property
    def right(self) -> bool:
        return self.said is self.present


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """Accuracy on what is there, on what is not, and the mean of the two."""
    with bench.remembered(pack.libraries):
        found = recognised(bench, pack.questions)
    return Measured(rows(found), tuple(_case(r) for r in found))


def recognised(bench: Bench, questions: Sequence[Question]) -> list[Recognised]:
    """The answers to yes-no questions about remembered concepts."""
    asked = [q for q in questions if q.kind == "yes-no"]
    replies = bench.ask([Ask(q.user, q.asked(), q.image) for q in asked], "recognising")
    return [Recognised(q, r.text, yes_or_no(r.text, q.concept)) for q, r in zip(asked, replies, strict=True)]


def rows(found: Sequence[Recognised]) -> tuple[Row, ...]:
    """All measures, those that can be formed. An answer that is neither yes nor no is wrong."""
    there, away = [r for r in found if r.present], [r for r in found if not r.present]
    result = [
        Row("positive", "accuracy", accuracy(there)),
        Row("negative", "accuracy", accuracy(away)),
        Row("weighted", "accuracy", weighted(found)),
    ]
    for why, words in WHY_NOT.items():
        if same := [r for r in away if r.question.about == why]:
            result.append(Row(words, "accuracy", accuracy(same)))
    for group, seen in groups_by_seen(r.question.seen for r in there).items():
        result.append(Row(f"positive, {group}", "accuracy", accuracy([r for r in there if r.question.seen is seen])))
    unclear = share_of((sum(r.said is None for r in unit), len(unit)) for unit in _units(found))
    return (*result, Row("all", "answers that are neither yes nor no", unclear))


def accuracy(found: Sequence[Recognised]) -> Figure:
    """The share of right answers, questions about one picture resampled together."""
    return share_of((sum(r.right for r in unit), len(unit)) for unit in _units(found))


def weighted(found: Sequence[Recognised]) -> Figure:
    """The mean of the accuracies on positives and on negatives."""
    counts = [
        (
            sum(r.right for r in unit if r.present),
            sum(r.present for r in unit),
            sum(r.right for r in unit if not r.present),
            sum(not r.present for r in unit),
        )
        for unit in _units(found)
    ]
    return figure(counts, lambda s: (s[..., 0] / s[..., 1] + s[..., 2] / s[..., 3]) / 2, n=len(found))


def _units(found: Sequence[Recognised]) -> list[list[Recognised]]:
    units: dict[Path | None, list[Recognised]] = {}
    for r in found:
        units.setdefault(r.question.image, []).append(r)
    return list(units.values())


def _case(r: Recognised) -> dict[str, object]:
    image = r.question.image.name if r.question.image else None
    asked = {"image": image, "question": r.question.asked(), "about": r.question.about}
    return {**asked, "expected": r.question.answer, "answer": r.text, "right": r.right}
