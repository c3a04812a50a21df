"""When a concept may be named."""

from dataclasses import replace

import numpy as np
import pytest

from rap_serve.domain.match import AuthorisationPolicy, Calibration, Matrix, authorise, authorise_named, rivals
from rap_serve.domain.region import WHOLE_PICTURE, Region

CALIBRATION = Calibration(
    slope=20,
    midpoint=0.4,
    rival_share=0.5,
    least_rival=0.2,
    named_confidence=0.5,
    tail_concepts=1,
    tail_rate=(0.5, 0.1, 0.01, 0.001),
    tail_similarity=(0.2, 0.4, 0.5, 0.6),
)
POLICY = AuthorisationPolicy(false_accept_rate=0.01, further_false_accept_rate=0.01)
BARE = replace(POLICY, required=False)


def box(left: float, label: str = "mug") -> Region:
    """A box of 10 x 10 at ``left``."""
    return Region((left, 0, left + 10, 10), label, 0.9)


def sure(matrix: Matrix) -> Matrix:
    """The confidences that follow from similarities."""
    return CALIBRATION.confidences(matrix)


def pairs(
    regions: list[Region], rows: list[list[float]], policy: AuthorisationPolicy = POLICY
) -> list[tuple[int, int]]:
    """What is accepted, as (region, concept)."""
    matrix = np.array(rows, np.float32)
    return [
        (a.region, a.concept) for a in authorise(regions, matrix, sure(matrix), calibration=CALIBRATION, policy=policy)
    ]


def named(regions: list[Region], rows: list[list[float]], asked: list[int]) -> list[tuple[int, int]]:
    """What is supported of those ``asked`` for, beyond what is accepted anyway."""
    matrix = np.array(rows, np.float32)
    taken = authorise(regions, matrix, sure(matrix), calibration=CALIBRATION, policy=POLICY)
    rest = [i for i in asked if i not in {a.concept for a in taken}]
    supported = authorise_named(regions, matrix, sure(matrix), rest, taken=taken, calibration=CALIBRATION)
    return [(a.region, a.concept) for a in supported]


def test_a_clear_match_is_accepted_and_a_faint_one_is_not() -> None:
    """The open-set threshold decides."""
    assert pairs([box(0)], [[0.9, 0.1]]) == [(0, 0)]
    assert pairs([box(0)], [[0.45, 0.1]]) == []


def test_the_threshold_rises_with_the_number_of_concepts() -> None:
    """More comparisons, more chances to be wrong: each must be surer."""
    thresholds = [CALIBRATION.threshold(concepts=n, false_accept_rate=0.01) for n in (1, 10, 100, 1_000)]
    assert thresholds == sorted(thresholds) and thresholds[0] == pytest.approx(0.5)
    assert thresholds[1] == pytest.approx(0.6, abs=1e-3)


def test_a_tail_measured_with_many_concepts_says_less_is_needed_of_few() -> None:
    """The rate belongs to the size of the library that it was measured with."""
    measured = replace(CALIBRATION, tail_concepts=20)
    assert measured.threshold(concepts=20, false_accept_rate=0.01) == pytest.approx(0.5)
    assert measured.threshold(concepts=2, false_accept_rate=0.01) < 0.5


def test_a_stranger_rate_is_kept() -> None:
    """Of pictures whose best similarity is drawn from the measured tail, the stated share is accepted."""
    rng = np.random.default_rng(0)
    best = np.interp(-np.log(rng.uniform(0.001, 1, 20_000)), -np.log(CALIBRATION.tail_rate), (0.2, 0.4, 0.5, 0.6))
    for rate in (0.2, 0.05, 0.01):
        threshold = CALIBRATION.threshold(concepts=1, false_accept_rate=rate)
        assert (best >= threshold).mean() == pytest.approx(rate, rel=0.2)


def test_one_region_names_one_concept_and_one_concept_one_region() -> None:
    """The better region of the same concept wins."""
    assert pairs([box(0), box(50)], [[0.8, 0.1], [0.9, 0.1]]) == [(1, 0)]


def test_a_second_concept_may_be_fainter_than_the_first() -> None:
    """Whose one thing is there, another may well be; with nothing else there, the faint one is a stranger."""
    policy = replace(POLICY, further_false_accept_rate=0.1)
    assert pairs([box(0), box(50)], [[0.9, 0.1], [0.1, 0.45]]) == [(0, 0)]
    assert pairs([box(0), box(50)], [[0.9, 0.1], [0.1, 0.45]], policy) == [(0, 0), (1, 1)]
    assert pairs([box(0), box(50)], [[0.3, 0.1], [0.1, 0.45]], policy) == []


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


def test_as_many_are_named_as_are_there_up_to_what_a_prompt_holds() -> None:
    """The surest come first."""
    rows = np.full((8, 8), 0.1) + np.diag([0.7, 0.8, 0.6, 0.75, 0.65, 0.85, 0.2, 0.72])
    regions = [box(20.0 * i) for i in range(8)]
    assert [c for _, c in pairs(regions, rows.tolist(), replace(POLICY, max_evidence=9))] == [5, 1, 3, 7, 0, 4, 2]
    assert [c for _, c in pairs(regions, rows.tolist())] == [5, 1, 3, 7, 0, 4]


def test_considering_some_concepts_takes_from_what_is_found_and_adds_nothing() -> None:
    """A region speaks for the concept it resembles most, and where that one is not considered it says nothing."""
    matrix = np.array([[0.9, 0.8, 0.1], [0.1, 0.2, 0.95]], np.float32)
    found = [
        [
            a.concept
            for a in authorise(
                [box(0), box(50)],
                matrix,
                sure(matrix),
                calibration=CALIBRATION,
                policy=replace(POLICY, max_evidence=1),
                considered=some,
            )
        ]
        for some in (None, (0, 1, 2), (0, 1), (1,))
    ]
    assert found == [[2], [2], [0], []]


def test_without_authorisation_every_region_names_what_it_resembles_most() -> None:
    """However little, and whatever the boxes share; a concept is named once."""
    assert pairs([box(0), box(1), box(50)], [[0.3, 0.1], [0.1, 0.2], [0.05, 0.15]], BARE) == [(0, 0), (1, 1)]
    assert pairs([box(0), box(50)], [[0.3, 0.1], [0.1, 0.2]], replace(BARE, max_evidence=1)) == [(0, 0)]


def test_who_is_asked_for_by_name_needs_less_but_needs_a_region() -> None:
    """The faint region is not enough for a name unasked."""
    regions, rows = [box(0), box(50)], [[0.9, 0.3, 0.1], [0.2, 0.54, 0.1]]
    assert pairs(regions, rows) == [(0, 0)]
    assert named(regions, rows, [1]) == [(1, 1)]
    assert named(regions, rows, [2]) == [] == named(regions, rows, [])


def test_a_region_that_another_concept_explains_better_supports_no_name() -> None:
    """Of two look-alikes only the one that is there is there."""
    assert named([box(0)], [[0.52, 0.1]], [0]) == [(0, 0)]
    assert named([box(0)], [[0.52, 0.525]], [0]) == []
    assert named([box(0)], [[0.9, 0.85]], [1]) == []


def test_one_region_supports_one_name() -> None:
    """That of the concept it resembles most, however little the others lack and whoever is asked for first."""
    calibration = replace(CALIBRATION, named_confidence=0.01)
    regions, matrix = [box(0)], np.array([[0.52, 0.51]], np.float32)
    supported = authorise_named(
        regions, matrix, calibration.confidences(matrix), [1, 0], taken=(), calibration=calibration
    )
    assert [(a.region, a.concept) for a in supported] == [(0, 0)]


def test_an_empty_library_accepts_nothing() -> None:
    """No concepts, no columns."""
    nothing = np.zeros((1, 0), np.float32)
    assert authorise([box(0)], nothing, nothing, calibration=CALIBRATION, policy=POLICY) == []
    assert authorise_named([box(0)], nothing, nothing, [], taken=(), calibration=CALIBRATION) == []
    assert CALIBRATION.confidences(nothing).shape == (1, 0)


def test_a_concept_that_cannot_be_compared_changes_nothing() -> None:
    """It is never accepted, not even where nothing needs support, and nobody's threshold or rival."""
    with_it = np.array([[0.8, -np.inf, 0.3], [0.2, -np.inf, 0.7]], np.float32)
    without = with_it[:, [0, 2]]
    np.testing.assert_array_equal(sure(with_it)[:, [0, 2]], sure(without))
    assert not sure(with_it)[:, 1].any()
    kept = [(r, {0: 0, 1: 2}[c]) for r, c in pairs([box(0), box(50)], without.tolist(), BARE)]
    assert pairs([box(0), box(50)], with_it.tolist(), BARE) == kept
    alone = [[-np.inf], [-np.inf]]
    assert pairs([box(0), box(50)], alone, BARE) == pairs([box(0), box(50)], alone) == []
    assert named([box(0), box(50)], alone, [0]) == []


def test_a_rival_is_the_best_other_concept_of_the_region() -> None:
    """The leader's is the second; with one concept there is none."""
    matrix = np.array([[0.9, 0.3, 0.5], [0.2, 0.2, 0.1]], np.float32)
    np.testing.assert_allclose(rivals(matrix), [[0.5, 0.9, 0.9], [0.2, 0.2, 0.2]], rtol=1e-6)
    np.testing.assert_allclose(rivals(matrix[:, :1]), [[-1], [-1]])


def test_confidence_is_a_probability_that_grows_with_similarity() -> None:
    """Half at the midpoint."""
    assert CALIBRATION.confidence(0.5) == pytest.approx(0.5, abs=1e-6)
    assert 0 < CALIBRATION.confidence(-1) < CALIBRATION.confidence(0.7) < CALIBRATION.confidence(1) < 1


def test_a_rival_costs_confidence_and_the_most_similar_keeps_the_most() -> None:
    """The same similarity, alone and with somebody close."""
    alone, close = CALIBRATION.confidences(np.array([[0.7, 0.1], [0.7, 0.65]], np.float32))
    assert alone[0] > close[0] > close[1]
