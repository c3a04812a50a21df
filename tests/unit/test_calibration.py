"""A calibration out of measured similarities, and the file that serving reads."""

import json
from pathlib import Path

import numpy as np
import pytest

from rap_serve.adapters.calibration import FILE, load_calibration
from rap_serve.domain.errors import InvalidInput
from training.calibration_fit import RATES, Compared, equal_error, fit_confidence, fit_logistic, tail

CONCEPTS = 20


def picture(rng: np.random.Generator, shown: int | None) -> Compared:
    """Three regions: the first shows a concept, or nothing known; what resembles it is near 0.8 for its own."""
    similarities = rng.normal(0.4, 0.1, (3, CONCEPTS))
    present = np.zeros(CONCEPTS, np.bool_)
    if shown is not None:
        similarities[0, shown] = rng.normal(0.8, 0.08)
        present[shown] = True
    regions = np.array([-1 if shown is None else shown, -1, -1], np.int64)
    return Compared(similarities.astype(np.float32), regions, present)


def test_a_logistic_is_found_again() -> None:
    """From outcomes drawn with known weights."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(20_000, 2))
    chance = 1 / (1 + np.exp(-(2 * inputs[:, 0] - inputs[:, 1] + 0.5)))
    weights, offset = fit_logistic(inputs, rng.random(20_000) < chance)
    np.testing.assert_allclose([*weights, offset], [2, -1, 0.5], atol=0.1)


def test_confidence_separates_what_is_there_from_what_is_not() -> None:
    """Its midpoint lies between the two, and a rival counts against."""
    rng = np.random.default_rng(1)
    pictures = [picture(rng, int(rng.integers(CONCEPTS)) if i % 4 else None) for i in range(400)]
    fitted = fit_confidence(pictures)
    assert fitted.slope > 0 and 0 <= fitted.rival_share < 1
    assert 0.45 < fitted.midpoint + fitted.rival_share * fitted.least_rival < 0.8


def test_the_tail_falls_with_the_similarity_and_keeps_its_rates() -> None:
    """One tenth of the pictures reach what is said to be reached by one tenth."""
    best = np.random.default_rng(2).normal(0.5, 0.1, 5_000)
    measured = tail(best.tolist())
    assert measured["rate"] == list(RATES) and measured["similarity"] == sorted(measured["similarity"])
    reached = measured["similarity"][RATES.index(0.1)]
    assert (best >= reached).mean() == pytest.approx(0.1, abs=0.01)


def test_equal_error_is_where_both_mistakes_are_as_frequent() -> None:
    """Whatever the number of cases on each side."""
    rng = np.random.default_rng(3)
    yes, no = rng.normal(0.8, 0.1, 300).astype(np.float32), rng.normal(0.4, 0.2, 9_000).astype(np.float32)
    threshold = equal_error(yes, no)
    assert (yes < threshold).mean() == pytest.approx((no >= threshold).mean(), abs=0.01)


def test_a_measured_file_is_read_back(tmp_path: Path) -> None:
    """As it lies beside the weights."""
    confidence = {"slope": 20.0, "midpoint": 0.4, "rival_share": 0.5, "least_rival": 0.4, "named": 0.1}
    strangers = {"concepts": 20, "rate": [0.5, 0.01], "similarity": [0.4, 0.8]}
    (tmp_path / FILE).write_text(json.dumps({"calibration": {"confidence": confidence, "strangers": strangers}}))
    read = load_calibration(str(tmp_path))
    assert (read.slope, read.named_confidence, read.tail_concepts) == (20.0, 0.1, 20)
    assert read.threshold(concepts=20, false_accept_rate=0.01) == pytest.approx(0.8)


@pytest.mark.parametrize("content", ["{}", "not json", '{"calibration": {"confidence": {}}}', '{"calibration": []}'])
def test_without_a_calibration_nothing_can_be_named(tmp_path: Path, content: str) -> None:
    """So the service does not start, and says what to do."""
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InvalidInput, match="measure one"):
        load_calibration(str(tmp_path))


def test_the_shipped_calibration_asks_for_more_where_less_is_forgiven() -> None:
    """Stricter rates and larger libraries raise the threshold."""
    shipped = load_calibration(str(Path(__file__).parents[2] / "models" / "tiny" / "embedder"))
    by_rate = [shipped.threshold(concepts=20, false_accept_rate=rate) for rate in (0.2, 0.05, 0.01, 0.001)]
    by_size = [shipped.threshold(concepts=n, false_accept_rate=0.03) for n in (1, 20, 500)]
    assert by_rate == sorted(by_rate) and by_size == sorted(by_size) and by_size[-1] <= 1
