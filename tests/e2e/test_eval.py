"""``rap eval`` against the running service, with very little to ask."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rap_serve.cli.client import RapClient, service_of
from rap_serve.cli.eval.ablate import measured_rows
from rap_serve.cli.eval.registry import SUITES
from rap_serve.cli.eval.run import Options, generate, measure
from rap_serve.cli.eval.suites import Size
from tests.running_service import ROOT, RunningService

LIBRARIES = {"topk": 46, "scaling": 46, "detector": 20, "lookalikes": 4, "recognition": 10}


@pytest.fixture
def connection(service: RunningService):
    """A client as the commands use it."""
    with RapClient(service_of(service.home)) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SUITES))
def test_a_suite_measures_and_leaves_nothing_behind(name: str, connection: RapClient, tmp_path: Path) -> None:
    """Every figure has a count and an interval; its users are empty again."""
    library = LIBRARIES.get(name, 8)
    generate(name, tmp_path, Size(2, library), seed=3)
    steps = (library,) if name in ("topk", "scaling") else ()
    result = measure(SUITES[name], Options(pack=tmp_path, n=2, steps=steps), client=connection)
    known = [r.figure for r in result.measured.rows if r.figure.n and r.figure.value == r.figure.value]
    assert known and all(f.low <= f.value + 1e-9 and f.value <= f.high + 1e-9 for f in known)
    assert result.problems == ()
    users = {"detector": ("groups", "words", "object")}.get(name, ("u0",))
    assert [connection.concepts(f"eval-{name}-{user}") for user in users] == [[]] * len(users)


@pytest.mark.slow
def test_ablations_have_a_row_for_what_this_service_can_leave_out(service: RunningService) -> None:
    """Its own, the true concepts alone, and names without infos."""
    sizes = {"captioning": 1, "vqa": 1, "text-qa": 1, "recognition": 1}
    rows = [r for result in measured_rows(Options(home=service.home), sizes=sizes) for r in result.measured.rows]
    assert list(dict.fromkeys(r.group for r in rows)) == ["full", "without retrieval, still authorised", "without info"]
    assert {"captioning F1", "visual QA", "text QA", "recognition"} <= {r.measure for r in rows}


@pytest.mark.slow
def test_the_command_writes_results_report_and_plot(service: RunningService, tmp_path: Path) -> None:
    """Beside each other, under the name that was given."""
    file = tmp_path / "r.json"
    command = [sys.executable, "-m", "rap_serve.cli.main", "eval", "lookalikes", "--quick", "--n", "2"]
    command += ["--json", str(file), "--home", str(service.home)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(file.read_text())["results"][0]["suite"] == "lookalikes"
    assert "top-1 of the pair" in file.with_suffix(".md").read_text()
    assert (tmp_path / "r-plots" / "lookalikes.png").is_file()
