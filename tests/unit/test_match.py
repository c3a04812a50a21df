"""When a concept may be named."""

import numpy as np
import pytest

from rap_serve.domain.match import AuthorisationPolicy, Calibration, authorise, authorise_named
from rap_serve.domain.region import WHOLE_PICTURE, Region

CALIBRATION = Calibration(
    slope=20, midpoint=0.6, tail_survival=(0.5, 0.1, 0.01, 0.001), tail_similarity=(0.2, 0.4, 0.5, 0.6)
)
POLICY = AuthorisationPolicy(false_accept_rate=0.01, margin=0)


def box(left: float, label: str = "mug") -> Region:
    """A box of 10 x 10 at ``left``."""
    return Region((left, 0, left + 10, 10), label, 0.9)


def pairs(
    regions: list[Region], rows: list[list[float]], policy: AuthorisationPolicy = POLICY
) -> list[tuple[int, int]]:
    """What is accepted, as (region, concept)."""
    matrix = np.array(rows, np.float32)
    return [(a.region, a.concept) for a in authorise(regions, matrix, calibration=CALIBRATION, policy=policy)]


def test_a_clear_match_is_accepted_and_a_faint_one_is_not() -> None:
    """The open-set threshold decides."""
    assert pairs([box(0)], [[0.9, 0.1]]) == [(0, 0)]
    assert pairs([box(0)], [[0.45, 0.1]]) == []


def test_the_threshold_rises_with_the_number_of_concepts() -> None:
    """More comparisons, more chances to be wrong: each must be surer."""
    thresholds = [CALIBRATION.threshold(concepts=n, false_accept_rate=0.01) for n in (1, 10, 100, 1_000)]
    assert thresholds == sorted(thresholds) and thresholds[0] == pytest.approx(0.5)
    assert thresholds[1] == pytest.approx(0.6, abs=1e-3)


def test_one_region_names_one_concept_and_one_concept_one_region() -> None:
    """The better region of the same concept wins."""
    assert pairs([box(0), box(50)], [[0.8, 0.1], [0.9, 0.1]]) == [(1, 0)]


def test_two_boxes_around_one_thing_do_not_name_two_concepts() -> None:
    """A box that overlaps a better one is the same thing."""
    assert pairs([box(0), box(1)], [[0.9, 0.1], [0.2, 0.8]]) == [(0, 0)]
    assert pairs([box(0), box(50)], [[0.9, 0.1], [0.2, 0.8]]) == [(0, 0), (1, 1)]


def test_the_whole_picture_counts_only_where_there_is_no_box() -> None:
    """It is the last resort for a picture in which the detector found nothing."""
    whole = Region((0, 0, 100, 100), WHOLE_PICTURE, 1.0)
    assert pairs([box(0), whole], [[0.9, 0.1], [0.1, 0.95]]) == [(0, 0)]
    assert pairs([box(0), whole], [[0.3, 0.1], [0.1, 0.95]]) == []
    assert pairs([whole], [[0.1, 0.95]]) == [(0, 1)]


def test_a_margin_keeps_lookalikes_apart() -> None:
    """Where the runner-up is too close nothing is named."""
    policy = AuthorisationPolicy(false_accept_rate=0.01, margin=0.1)
    assert pairs([box(0)], [[0.9, 0.85]], policy) == []
    assert pairs([box(0)], [[0.9, 0.7]], policy) == [(0, 0)]


def test_no_more_concepts_than_a_prompt_holds() -> None:
    """The surest come first."""
    rows = np.full((6, 6), 0.1) + np.diag([0.7, 0.8, 0.6, 0.75, 0.65, 0.85])
    accepted = pairs([box(20.0 * i) for i in range(6)], rows.tolist())
    assert accepted == [(5, 5), (1, 1), (3, 3), (0, 0)]


def test_who_is_asked_for_by_name_needs_less_but_needs_a_region() -> None:
    """One comparison instead of many; a region that shows another concept supports nobody else."""
    regions, matrix = [box(0), box(50)], np.array([[0.9, 0.8, 0.1], [0.2, 0.54, 0.1]], np.float32)
    taken = authorise(regions, matrix, calibration=CALIBRATION, policy=POLICY)
    assert [(a.region, a.concept) for a in taken] == [(0, 0)]
    for asked, supported in (([1], [(1, 1)]), ([2], []), ([], [])):
        named = authorise_named(regions, matrix, asked, taken=taken, calibration=CALIBRATION, policy=POLICY)
        assert [(a.region, a.concept) for a in named] == supported


def test_an_empty_library_accepts_nothing() -> None:
    """No concepts, no columns."""
    assert authorise([box(0)], np.zeros((1, 0), np.float32), calibration=CALIBRATION, policy=POLICY) == []


def test_confidence_is_a_probability_that_grows_with_similarity() -> None:
    """Half at the midpoint."""
    assert CALIBRATION.confidence(0.6) == pytest.approx(0.5)
    assert 0 < CALIBRATION.confidence(-1) < CALIBRATION.confidence(0.7) < CALIBRATION.confidence(1) < 1
