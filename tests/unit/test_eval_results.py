"""Results as files, tables, plots and comparisons."""

from pathlib import Path

import pytest
from PIL import Image

from rap_serve.cli.client import CliError
from rap_serve.cli.eval.bootstrap import per_unit, share_of
from rap_serve.cli.eval.compare import differences, settings_that_differ
from rap_serve.cli.eval.plots import PAINTERS, draw
from rap_serve.cli.eval.published import PUBLISHED
from rap_serve.cli.eval.registry import SUITES
from rap_serve.cli.eval.result import Measured, Result, Row, read_results, write_results
from rap_serve.cli.eval.tables import markdown


def result(hits: int = 8, *, suite: str = "captioning", group: str = "1 concept", n: int = 10) -> Result:
    """One figure of ten pictures."""
    measure = {"topk": "recall@1", "scaling": "captioning F1"}.get(suite, "F1")
    rows = (Row(group, measure, share_of([(1, 1)] * hits + [(0, 1)] * (n - hits))), Row(group, "recall", share_of([])))
    curve = ({"mode": "detector", "recall": 0.95, "threshold": 0.5, "value": 0.1},)
    settings = {"quick": True, "n": 10, "library": 20, "seed": 7, "pack": "captioning"}
    return Result(suite=suite, label="now", measured=Measured(rows, curve=curve), settings=settings, seconds=1.0)


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    """Figures to four digits."""
    write_results([result()], tmp_path / "r.json")
    (found,) = read_results(tmp_path / "r.json")
    assert found.suite == "captioning" and found.settings == result().settings
    figure = found.figure("1 concept", "F1")
    assert figure is not None and figure.value == 0.8 and figure.n == 10


def test_any_other_file_holds_no_results(tmp_path: Path) -> None:
    """It is not compared by mistake."""
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(CliError, match="no results"):
        read_results(tmp_path / "other.json")


def test_the_report_shows_interval_count_and_what_others_published() -> None:
    """A row each; what does not exist is a dash."""
    lines = markdown([result()]).splitlines()
    (line,) = [each for each in lines if each.startswith("| 1 concept | F1 ")]
    assert "| 80.0 | 50.0 - 100.0 | 10 | 95.0 | 91.5 | MyVLM 85.5 |" in line
    assert any(each.startswith("| 1 concept | recall | - | - | 0 |") for each in lines)


def test_a_count_per_picture_is_not_printed_in_percent() -> None:
    """Two false accepts on every picture are not 200 %."""
    rows = (Row("operating point", "false accepts per picture", per_unit([2, 2])),)
    shown = markdown([Result(suite="negatives", label="", measured=Measured(rows))])
    assert "2.000 each" in shown and "200" not in shown


def test_what_is_published_belongs_to_a_suite() -> None:
    """No row is kept for a suite that is not there."""
    assert {suite for suite, _, _ in PUBLISHED} <= {*SUITES, "ablations"}


@pytest.mark.parametrize("suite", sorted(PAINTERS))
def test_every_plot_can_be_drawn(suite: str, tmp_path: Path) -> None:
    """A picture file, whatever groups there are."""
    group = "N = 45, detector" if suite in ("topk", "scaling") else "1 concept"
    path = draw(result(suite=suite, group=group), tmp_path)
    assert path is not None
    with Image.open(path) as drawn:
        assert drawn.size[0] > 300


def test_a_comparison_marks_what_clearly_changed() -> None:
    """Where the intervals do not touch."""
    (same,) = differences([result(8)], [result(7)])
    (better,) = differences([result(1)], [result(9)])
    assert not same.clear and same.change == pytest.approx(-0.1)
    assert better.clear


def test_a_comparison_says_what_makes_it_unfair() -> None:
    """Other data or another size."""
    other = result()
    changed = Result(suite=other.suite, label="", measured=other.measured, settings={**other.settings, "seed": 8})
    assert settings_that_differ([other], [changed]) == ["captioning: seed is 7 and 8"]
    assert settings_that_differ([other], [other]) == []
