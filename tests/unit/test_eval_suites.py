"""What the suites make of answers, without a service."""

from pathlib import Path

import numpy as np
import pytest

from rap_serve.cli.eval.bootstrap import NOTHING, share_of
from rap_serve.cli.eval.pack import PackPicture, Question, Shown
from rap_serve.cli.eval.result import Measured, Result, Row
from rap_serve.cli.eval.suites import ablations, captioning, qa, recognition, wrong_references
from rap_serve.cli.eval.suites.captioning import Captioned
from rap_serve.cli.eval.suites.detector import matched, mean_average_precision
from rap_serve.cli.eval.suites.negatives import Scored, claims_of, threshold_for
from rap_serve.cli.eval.suites.topk import ranked
from rap_serve.cli.wire import CandidateJson, RegionJson, RetrievalJson
from rap_serve.domain.region import WHOLE_PICTURE

PHOTO = Path("photo.png")


def candidate(name: str, similarity: float) -> CandidateJson:
    """A candidate that is as sure as it is similar."""
    return CandidateJson(concept_id=name, name=name, similarity=similarity, confidence=similarity)


def region(left: float, label: str = "mug", score: float = 0.9, **candidates: float) -> RegionJson:
    """A box of 10 x 10 at ``left``; candidates by name, best first."""
    found = [candidate(name, s) for name, s in sorted(candidates.items(), key=lambda c: -c[1])]
    return RegionJson(box_xyxy=[left, 0, left + 10, 10], label=label, score=score, candidates=found)


def retrieval(*regions: RegionJson) -> RetrievalJson:
    """An answer of the service without evidence."""
    return RetrievalJson(regions=list(regions), evidence=[], degraded=[], cache="miss", timings_ms={})


def captioned(shown: str, right: str, wrong: str = "") -> Captioned:
    """A caption that says ``right`` and ``wrong`` of a picture that shows ``shown``, a letter per concept."""
    picture = PackPicture(PHOTO, "ann", tuple(Shown(n, "mug", seen=n < "c") for n in shown))
    return Captioned(picture, "", frozenset(right), frozenset(wrong), frozenset(right))


def figures(rows: tuple[Row, ...], group: str) -> dict[str, float]:
    """The values of one group, by measure."""
    return {r.measure: r.figure.value for r in rows if r.group == group}


def test_captions_are_scored_over_names_and_over_pictures() -> None:
    """A picture about which nothing is said has no precision of its own."""
    rows = captioning.measures("all", [captioned("ab", "ab"), captioned("cd", "c", "x"), captioned("e", "")])
    values = figures(rows, "all")
    assert values["recall"] == pytest.approx(3 / 5)
    assert values["precision"] == pytest.approx(3 / 4)
    assert values["F1"] == pytest.approx(2 * 3 / 9)
    assert values["macro recall"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert values["macro precision"] == pytest.approx((1 + 0.5) / 2)
    assert values["macro F1"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert values["exactly the right names"] == pytest.approx(1 / 3)


def test_captions_are_told_apart_by_count_and_by_what_was_trained_on() -> None:
    """The groups are named as they are printed."""
    rows = captioning.rows([captioned("a", "a"), captioned("bc", "b")])
    assert [r.group for r in rows if r.measure == "recall"] == [
        *("1 concept", "2 concepts", "all"),
        *("seen categories", "held-out categories"),
    ]
    assert figures(rows, "held-out categories") == {"recall": 0.0}


def asked(kind: str, right: bool, about: str) -> qa.Answered:
    """A multiple-choice or open question and how it was answered."""
    options = {"A": "red", "B": "blue"} if kind == "choice" else {}
    question = Question(text="?", user="u", concept="bo", kind=kind, answer="A", options=options, about=about)
    return qa.Answered(question, "", right, right)


def test_questions_are_scored_by_kind_and_by_what_tells_the_answer() -> None:
    """Where things are is apart from what the info says."""
    rows = qa.rows([asked("choice", True, "info"), asked("choice", False, "place"), asked("open", True, "fact")])
    assert figures(rows, "multiple choice")["accuracy"] == 0.5
    assert figures(rows, "multiple choice: where things are, which only the picture shows")["accuracy"] == 0.0
    assert figures(rows, "open questions")["accuracy"] == 1.0


def presence(answer: str, said: bool | None, why: str = "") -> recognition.Recognised:
    """A yes-no question and what was said."""
    question = Question(text="?", user="u", concept="bo", kind="yes-no", answer=answer, about=why, image=PHOTO)
    return recognition.Recognised(question, "", said)


def test_recognition_weighs_what_is_there_as_much_as_what_is_not() -> None:
    """However many of each were asked; no clear answer is a wrong one."""
    answers = [presence("yes", True), presence("no", False, "other"), presence("no", True, "lookalike")]
    rows = recognition.rows([*answers, presence("no", None, "other")])
    assert figures(rows, "negative")["accuracy"] == pytest.approx(1 / 3)
    assert figures(rows, "weighted")["accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert figures(rows, "all")["answers that are neither yes nor no"] == 0.25


def test_concepts_are_ranked_by_their_best_region() -> None:
    """Each once."""
    assert ranked(retrieval(region(0, bo=0.5, luna=0.4), region(20, luna=0.9, bo=0.1))) == ["luna", "bo"]


def test_a_claim_is_what_leads_a_region() -> None:
    """The whole picture makes one only where there is no box."""
    whole = region(0, WHOLE_PICTURE, max=0.99)
    assert claims_of(retrieval(region(0, bo=0.5, luna=0.4), whole), given=False) == {"bo": 0.5}
    assert claims_of(retrieval(whole), given=False) == {"max": 0.99}


def test_the_threshold_of_a_recall_accepts_just_that_share() -> None:
    """It is out of reach where too many concepts lead no region."""
    scored = [Scored(frozenset({"bo"}), {"bo": c}, frozenset()) for c in (0.9, 0.8, 0.7, 0.6)]
    assert threshold_for(scored, 0.75) == 0.7
    assert threshold_for([*scored, Scored(frozenset({"bo"}), {}, frozenset())], 1.0) is None


def thing(left: float, category: str) -> Shown:
    """A labelled box of 10 x 10."""
    return Shown(None, category, (left, 0.0, left + 10, 10.0), "vessel" if category in ("mug", "jug") else "toy")


def test_average_precision_is_the_area_under_precision_and_recall() -> None:
    """A hit, a miss and a hit: (1 + 2/3) / 2."""
    picture = PackPicture(PHOTO, "words", (thing(0, "mug"), thing(40, "mug")))
    found = [region(0, score=0.9), region(80, score=0.8), region(40, score=0.7)]
    figure = mean_average_precision(matched([picture], [found], by_label=True, wide=False))
    assert figure.value == pytest.approx((1 + 2 / 3) / 2)
    assert figure.n == 2


def test_a_thing_is_found_once_and_only_under_its_label() -> None:
    """A second box on it is a false one; labels can be ignored, or be those of groups."""
    picture = PackPicture(PHOTO, "words", (thing(0, "jug"),))
    twice = [region(0, "jug", 0.9), region(1, "jug", 0.8)]
    assert [c.true for c in matched([picture], [twice], by_label=True, wide=False).claims] == [True, False]
    wrong = [region(0, "robot")]
    assert mean_average_precision(matched([picture], [wrong], by_label=True, wide=False)).value == 0.0
    assert mean_average_precision(matched([picture], [wrong], by_label=False, wide=False)).value == 1.0
    wide = [region(0, "vessel")]
    assert mean_average_precision(matched([picture], [wide], by_label=True, wide=True)).value == 1.0


def test_average_precision_has_an_interval_over_pictures() -> None:
    """Half of them found."""
    pictures = [PackPicture(PHOTO, "words", (thing(0, "mug"),))] * 20
    rng = np.random.default_rng(0)
    found = [[region(0 if i % 2 else 50, score=float(rng.random()))] for i in range(20)]
    figure = mean_average_precision(matched(pictures, found, by_label=True, wide=False))
    assert figure.low < figure.value < figure.high


def test_wrong_references_fail_from_eight_percent_on() -> None:
    """The worst way of coming up decides."""
    fine = Row(wrong_references.HANDED, wrong_references.UTTERED, share_of([(7, 100)]))
    bad = Row(wrong_references.ASKED, wrong_references.UTTERED, share_of([(8, 100)]))
    assert wrong_references.verdict([fine]).startswith("pass")
    assert wrong_references.verdict([fine, bad]).startswith("FAIL")


def test_ablations_of_several_services_become_one_table() -> None:
    """In the paper's order; a row measured again replaces the older one."""

    def result(label: str, value: int) -> Result:
        measured = Measured((Row(label, "captioning F1", share_of([(value, 10)])),))
        return Result(suite="ablations", label=label, measured=measured)

    table = ablations.merged([result("without negatives", 1), result("full", 2), result("full", 3)])
    assert [(r.group, r.figure.value) for r in table.measured.rows] == [("full", 0.3), ("without negatives", 0.1)]


def test_nothing_measured_is_no_failure() -> None:
    """A verdict needs figures, and none is not zero."""
    assert NOTHING.value != NOTHING.value
