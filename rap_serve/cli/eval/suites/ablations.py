"""One part left out at a time, in one table: what each is worth to captions, questions and recognition."""

from collections.abc import Sequence
from dataclasses import dataclass

from rap_serve.cli.eval.bench import Bench
from rap_serve.cli.eval.pack import Pack
from rap_serve.cli.eval.result import Measured, Result, Row
from rap_serve.cli.eval.suites import captioning, qa, recognition

MOST_CONCEPTS = 2
"""Captions are of pictures with one or two concepts, as the paper's are."""

FULL = "full"
UNAUTHORISED = "without authorisation"
ORACLE, AUTHORISED_ORACLE = "without retrieval", "without retrieval, still authorised"
WITHOUT_INFO = "without info"
ORDER = (
    FULL,
    ORACLE,
    AUTHORISED_ORACLE,
    WITHOUT_INFO,
    "without augmentation",
    "without negatives",
    UNAUTHORISED,
)
MEANING = {
    ORACLE: "the true concepts are handed over and all enter the prompt; not for recognition, where that is the answer",
    AUTHORISED_ORACLE: "the true concepts are the only ones considered, and have to be authorised like any other",
    WITHOUT_INFO: "concepts are remembered by name and picture only",
    "without augmentation": "other weights; run against a service that has them",
    "without negatives": "other weights; run against a service that has them",
    UNAUTHORISED: "a service with authorisation.required false",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of the table, and how the service is used for it."""

    label: str
    oracle: bool = False
    with_info: bool = True


def variants(label: str) -> tuple[Variant, ...]:
    """The rows that a service of that label can give: its own, and those that need no other weights or settings.

    Concepts that are handed over enter the prompt unasked only where nothing has to be authorised.
    """
    if label == FULL:
        return Variant(FULL), Variant(AUTHORISED_ORACLE, oracle=True), Variant(WITHOUT_INFO, with_info=False)
    if label == UNAUTHORISED:
        return Variant(UNAUTHORISED), Variant(ORACLE, oracle=True)
    return (Variant(label),)


@dataclass(frozen=True, slots=True)
class Packs:
    """The data of the three tasks. ``questions``: pack of visual QA; ``texts``: of text QA."""

    captions: Pack
    questions: Pack
    texts: Pack
    recognition: Pack


def row(bench: Bench, packs: Packs, label: str) -> Measured:
    """The tasks' main figures as the bench is set up, under the group ``label``."""
    return Measured(tuple(_rows(bench, packs, label)))


def merged(results: Sequence[Result]) -> Result:
    """The results' rows as one table, in the paper's order; of a label that comes twice the last counts."""
    by_label: dict[str, list[Row]] = {}
    for result in results:
        for label in dict.fromkeys(r.group for r in result.measured.rows):
            by_label[label] = [r for r in result.measured.rows if r.group == label]
    known = [label for label in ORDER if label in by_label]
    others = [label for label in by_label if label not in ORDER]
    rows = [r for label in (*known, *others) for r in by_label[label]]
    notes = tuple(dict.fromkeys(note for result in results for note in result.measured.notes))
    means = tuple(f"{label}: {MEANING[label]}." for label in known if label in MEANING)
    settings = {"rows": [{"label": r.label, **r.settings} for r in results]}
    seconds = sum(r.seconds for r in results)
    return Result(
        suite="ablations",
        label="",
        measured=Measured(tuple(rows), notes=(*means, *(n for n in notes if n not in means))),
        settings=settings,
        seconds=seconds,
    )


def _rows(bench: Bench, packs: Packs, label: str) -> list[Row]:
    pictures = [p for p in packs.captions.pictures if len(p.names) <= MOST_CONCEPTS]
    with bench.remembered(packs.captions.libraries):
        captions = captioning.captioned(bench, packs.captions, pictures)
    names = ("recall", "precision", "F1")
    found = captioning.measures(label, captions)
    rows = [Row(label, f"captioning {r.measure}", r.figure) for r in found if r.measure in names]
    for measure, pack in (("visual QA", packs.questions), ("text QA", packs.texts)):
        with bench.remembered(pack.libraries):
            answers = qa.answered(bench, [q for q in pack.questions if q.kind == "choice"])
        rows.append(Row(label, measure, qa.accuracy(answers)))
    if bench.oracle:
        return rows
    with bench.remembered(packs.recognition.libraries):
        recognised = recognition.recognised(bench, packs.recognition.questions)
    return [*rows, Row(label, "recognition", recognition.weighted(recognised))]
