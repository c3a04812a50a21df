"""Questions about the user's concepts, with a picture and without one: multiple choice and open."""

from collections.abc import Sequence
from dataclasses import dataclass

from rap_serve.cli.eval.answers import chosen, holds
from rap_serve.cli.eval.bench import Ask, Bench
from rap_serve.cli.eval.bootstrap import Figure, share_of
from rap_serve.cli.eval.pack import Pack, Question
from rap_serve.cli.eval.result import Measured, Row
from rap_serve.cli.eval.suites import Size, groups_by_seen

KINDS = {"choice": "multiple choice", "open": "open questions"}
ABOUT = {
    "info": "what the info states",
    "fact": "facts of the info",
    "place": "where things are, which only the picture shows",
    "looks": "looks that no text states",
}


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, its answer, and whether that is right. ``clear``: whether one option could be made out."""

    question: Question
    text: str
    right: bool
    clear: bool


def run(bench: Bench, pack: Pack, size: Size) -> Measured:
    """Accuracy of all multiple-choice questions and of all open ones, and each by what tells the answer."""
    with bench.remembered(pack.libraries):
        found = answered(bench, pack.questions)
    options = sorted({len(a.question.options) for a in found if a.question.options})
    chance = ", ".join(f"{100 / k:.0f} %" for k in options)
    notes = (f"Guessing among {' or '.join(map(str, options))} options is right in {chance}.",) if options else ()
    return Measured(rows(found), tuple(_case(a) for a in found), notes=notes)


def answered(bench: Bench, questions: Sequence[Question]) -> list[Answered]:
    """The answers to questions about remembered concepts."""
    asks = [Ask(q.user, q.asked(), q.image, (q.concept,) if bench.oracle else None) for q in questions]
    replies = bench.ask(asks, "asking")
    return [_answered(q, r.text) for q, r in zip(questions, replies, strict=True)]


def rows(found: Sequence[Answered]) -> tuple[Row, ...]:
    """Accuracies, those that can be formed."""
    result: list[Row] = []
    for kind, name in KINDS.items():
        part = [a for a in found if a.question.kind == kind]
        if not part:
            continue
        result.append(Row(name, "accuracy", accuracy(part)))
        for about, words in ABOUT.items():
            if same := [a for a in part if a.question.about == about]:
                result.append(Row(f"{name}: {words}", "accuracy", accuracy(same)))
        for group, seen in groups_by_seen(a.question.seen for a in part).items():
            result.append(Row(f"{name}, {group}", "accuracy", accuracy([a for a in part if a.question.seen is seen])))
    choices = [a for a in found if a.question.kind == "choice"]
    if choices:
        result.append(
            Row(KINDS["choice"], "answers without a clear choice", _share(choices, [not a.clear for a in choices]))
        )
    return tuple(result)


def accuracy(found: Sequence[Answered]) -> Figure:
    """The share of right answers; questions about one picture, or one concept, are resampled together."""
    return _share(found, [a.right for a in found])


def _share(found: Sequence[Answered], hits: Sequence[bool]) -> Figure:
    units: dict[object, list[bool]] = {}
    for a, hit in zip(found, hits, strict=True):
        units.setdefault(a.question.image or (a.question.user, a.question.concept), []).append(hit)
    return share_of((sum(unit), len(unit)) for unit in units.values())


def _answered(question: Question, text: str) -> Answered:
    if question.kind == "choice":
        letter = chosen(text, question.options)
        return Answered(question, text, letter == question.answer, letter is not None)
    return Answered(question, text, holds(text, question.answer), bool(text))


def _case(a: Answered) -> dict[str, object]:
    image = a.question.image.name if a.question.image else None
    asked = {"image": image, "question": a.question.asked(), "kind": a.question.kind, "about": a.question.about}
    return {**asked, "expected": a.question.answer, "answer": a.text, "right": a.right}
