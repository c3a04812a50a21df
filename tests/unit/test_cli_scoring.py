"""Counting how well retrieval did."""

import math

import pytest

from rap_serve.cli.scoring import (
    Outcome,
    Target,
    handles_in,
    names_in,
    outcome,
    overlapping,
    percentiles,
    rank_of,
    rate,
    rates,
)
from rap_serve.cli.wire import CandidateJson, EvidenceJson, RegionJson, RetrievalJson
from rap_serve.domain.region import WHOLE_PICTURE


def candidates(*names: str) -> list[CandidateJson]:
    """Candidates of those names, best first."""
    return [CandidateJson(concept_id=n, name=n, similarity=0.5, confidence=0.5) for n in names]


def region(left: float, *names: str, label: str = "mug") -> RegionJson:
    """A box of 10 x 10 at ``left``, with candidates."""
    return RegionJson(box_xyxy=[left, 0, left + 10, 10], label=label, score=0.9, candidates=candidates(*names))


def retrieval(regions: list[RegionJson], *named: str) -> RetrievalJson:
    """An answer of the service, with evidence of those names."""
    evidence = [
        EvidenceJson(concept_id=n, name=n, version=1, source="region", box_xyxy=None, similarity=None, confidence=None)
        for n in named
    ]
    timings = {"total": 5.0}
    return RetrievalJson(regions=regions, evidence=evidence, degraded=[], cache="miss", timings_ms=timings)


BO, LUNA = Target("bo", [0, 0, 10, 10]), Target("luna", [50, 0, 60, 10])


def test_a_rank_counts_from_one_and_ignores_case() -> None:
    """A name that is not there has none."""
    assert rank_of("Bo", candidates("luna", "bo")) == 2
    assert rank_of("max", candidates("luna", "bo")) is None


def test_the_region_of_a_target_is_the_one_that_overlaps_most() -> None:
    """From half of the union on."""
    assert overlapping([region(4, "a"), region(1, "b")], BO.box_xyxy) == region(1, "b")
    assert overlapping([region(6)], BO.box_xyxy) is None
    assert overlapping([], BO.box_xyxy) is None


def test_given_boxes_come_back_in_their_order() -> None:
    """The n-th region is the n-th target's, wherever it is."""
    found = outcome([BO, LUNA], retrieval([region(0, "luna", "bo"), region(50, "luna")]), boxes_given=True, client_ms=1)
    assert found.ranks == (2, 1)


def test_a_missed_target_is_wrong_at_every_k() -> None:
    """It counts in the denominator and has no rank."""
    found = outcome([BO, LUNA], retrieval([region(0, "bo")]), boxes_given=False, client_ms=1)
    measured = rates([found])
    assert found.ranks == (1, None)
    assert (measured["top5"].hits, measured["top5"].n) == (1, 2)
    assert measured["detector_recall"].value == 0.5


def test_the_whole_picture_is_no_detection() -> None:
    """It may rank a thing that fills the picture, but the detector did not find it."""
    found = outcome([BO], retrieval([region(0, "bo", label=WHOLE_PICTURE)]), boxes_given=False, client_ms=1)
    assert found.ranks == (1,) and found.located == (False,)


def test_evidence_is_scored_by_name() -> None:
    """A concept that is there and named counts; one that is named and not there is a wrong name."""
    right = outcome([BO], retrieval([], "Bo"), boxes_given=False, client_ms=1)
    wrong = outcome([BO], retrieval([], "luna"), boxes_given=False, client_ms=1)
    measured = rates([right, wrong])
    assert (measured["concepts_in_evidence"].hits, measured["concepts_in_evidence"].n) == (1, 2)
    assert (measured["pictures_with_wrong_name"].hits, measured["pictures_with_wrong_name"].n) == (1, 2)


def test_pictures_of_nothing_only_have_false_accepts() -> None:
    """There is no recall of what is not there."""
    nothing = Outcome((), (), frozenset(), frozenset({"bo"}), 1.0, {}, "miss")
    assert set(rates([nothing])) == {"pictures_with_wrong_name"}


def test_a_rate_has_the_same_interval_every_time() -> None:
    """The bootstrap is seeded, and the interval holds the value."""
    counts = [(1, 1)] * 30 + [(0, 1)] * 10
    found = rate(counts)
    assert found == rate(counts)
    assert found.value == 0.75 and found.low < 0.75 < found.high


def test_a_rate_of_all_or_nothing_is_not_certain() -> None:
    """No miss in ten is not proof of no miss ever."""
    assert rate([(1, 1)] * 10).low == pytest.approx(0.7225, abs=1e-3)
    assert rate([(0, 1)] * 10).high == pytest.approx(0.2775, abs=1e-3)


def test_a_rate_of_nothing_is_not_a_number() -> None:
    """And null in a report."""
    assert math.isnan(rate([]).value)
    assert rate([]).json()["value"] is None


def test_percentiles_carry_their_count() -> None:
    """In the unit they were given."""
    assert percentiles(range(1, 102)) == {"p50": 51.0, "p90": 91.0, "p99": 100.0, "n": 101}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("This is <bo>.", {"bo"}),
        ("That is Bo, next to bo-2.", {"bo", "bo-2"}),
        ("A boat.", set()),
        ("<bo-2> on a mat.", {"bo-2"}),
    ],
)
def test_an_answer_names_what_stands_there_as_a_word(answer: str, said: set[str]) -> None:
    """In brackets or not; part of another word is no name."""
    assert names_in(answer, ["bo", "bo-2", "luna"]) == said


def test_an_invented_handle_is_seen() -> None:
    """Also one that nobody has; a comparison is none."""
    assert handles_in("<bo> sits by <pper-1>; 3 < 4 > 2.") == {"bo", "pper-1"}
