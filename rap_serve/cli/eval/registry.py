"""The suites by name, with how much each asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rap_serve.cli.eval.bench import Bench
from rap_serve.cli.eval.pack import Pack
from rap_serve.cli.eval.result import Measured
from rap_serve.cli.eval.suites import (
    Size,
    captioning,
    detector,
    lookalikes,
    negatives,
    qa,
    recognition,
    scaling,
    topk,
    wrong_references,
)


@dataclass(frozen=True, slots=True)
class Suite:
    """One thing to measure. ``help``: what it says of itself; ``quick``: the size that ``--quick`` asks."""

    name: str
    help: str
    run: Callable[[Bench, Pack, Size], Measured]
    full: Size
    quick: Size


SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "captioning",
            "Captions: recall, precision and F1 of concept names, with 1, 2, 4 and 6 concepts in a picture.",
            captioning.run,
            Size(60),
            Size(8),
        ),
        Suite(
            "vqa",
            "Questions about a picture: multiple choice and open, by what tells the answer.",
            qa.run,
            Size(120),
            Size(10),
        ),
        Suite("text-qa", "Questions about concepts without a picture.", qa.run, Size(120), Size(15)),
        Suite(
            "recognition",
            'Is it in this photo? Asked of what is there, of look-alikes and of other concepts ("weighted": the mean).',
            recognition.run,
            Size(120),
            Size(15),
        ),
        Suite(
            "topk",
            "Recall and precision of the first 1 to 5 concepts retrieved, in libraries of 45 to 500.",
            topk.run,
            Size(150, 500, (45, 150, 300, 500)),
            Size(30, 150, (45, 150)),
        ),
        Suite(
            "scaling",
            "Captioning and recognition in libraries of 50 to 300 concepts.",
            scaling.run,
            Size(50, 300, (50, 100, 200, 300)),
            Size(8, 100, (50, 100)),
        ),
        Suite(
            "wrong-references",
            "Names backed by pictures of other things: the share of answers that utter one.",
            wrong_references.run,
            Size(150),
            Size(25),
        ),
        Suite(
            "lookalikes",
            "Pairs that differ in exactly one attribute: which of the two a picture is taken for.",
            lookalikes.run,
            Size(80),
            Size(15),
        ),
        Suite(
            "negatives",
            "Pictures without any concept: false accepts as the service decides, and at given recalls.",
            negatives.run,
            Size(150),
            Size(20),
        ),
        Suite(
            "detector",
            "mAP50 and recall of the regions, for held-out categories by wider words and for known ones by their own.",
            detector.run,
            Size(150),
            Size(20),
        ),
    )
}
