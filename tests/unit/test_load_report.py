"""Load tests that were recorded, judged and shown: what is wrong with a run is said, and nothing else."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

from loadtest.load import scenario as scenarios
from loadtest.load.done import Done
from loadtest.load.page import page
from loadtest.load.prometheus import Reading, watched
from loadtest.load.record import ACTS, PROCESSES, SCENARIO, SCRAPES, Run, read
from loadtest.load.scenario import Scenario
from loadtest.load.verdicts import goodput, growths, judged, saturation, summary, throughput

STARTED = 1_000_000.0
Change = Callable[[float, dict[str, object]], dict[str, object]]


def recorded(
    folder: Path, scenario: Scenario, *, change: Change | None = None, leak_mb: float = 0.0, slow_end: float = 1.0
) -> Run:
    """A made-up run of four streams a second, as the generator would have recorded it.

    ``change``: of an act, given its time; ``leak_mb``: a minute, in one of two processes; ``slow_end``: how many
    times longer a fixed piece of work takes in the second half.
    """
    rng = random.Random(0)
    lines: list[dict[str, object]] = [{"started": STARTED}]
    for number in range(int(4 * scenario.seconds)):
        at, ms = number / 4, rng.lognormvariate(5, 0.2)
        act = Done(
            at=STARTED + at, act="stream new picture", status=200, total_ms=3 * ms, first_ms=ms, token_ms=9.0, tokens=20
        ).json()
        lines.append(change(at, act) if change else act)
    lines.append({"ended": STARTED + scenario.seconds})
    (folder / ACTS).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / SCENARIO).write_text(json.dumps({"scenario": scenario.json(), "url": "", "tenants": 2, "users": 3}))
    with (folder / PROCESSES).open("w") as out:
        for at in range(0, int(scenario.seconds), 5):
            processes = [
                {"role": role, "pid": pid, "own_mb": mb + rng.uniform(-1, 1), "cpu_percent": 20.0, "open_files": 30}
                for role, pid, mb in (("gateway", 1, 300 + leak_mb * at / 60), ("memory", 2, 100.0))
            ]
            yardstick = 5.0 * (slow_end if at > scenario.seconds / 2 else 1.0)
            sample = {"at": STARTED + at, "cpu_percent": 50.0, "yardstick_ms": yardstick, "processes": processes}
            out.write(json.dumps(sample) + "\n")
    with (folder / SCRAPES).open("w") as out:
        for at in range(0, int(scenario.seconds), 10):
            readings = [
                Reading("ray_rap_cache_lookups_total", ("library", "hit"), 3.0 * at),
                Reading("ray_rap_cache_lookups_total", ("library", "miss"), 1.0 * at),
                Reading("ray_rap_retrieval_milliseconds_sum", ("embed",), 10.0 * at),
                Reading("ray_rap_retrieval_milliseconds_count", ("embed",), 2.0 * at),
                Reading("ray_serve_deployment_replica_healthy", ("Gateway",), 1.0),
            ]
            out.write(json.dumps({"at": STARTED + at, "readings": [r.json() for r in readings]}) + "\n")
    return read(folder)


def broken(run: Run) -> list[str]:
    """The names of the promises that were not kept."""
    return [v.name for v in judged(run) if v.kept is False]


def test_an_even_run_keeps_every_promise(tmp_path: Path) -> None:
    """And none of them is left open."""
    run = recorded(tmp_path, scenarios.soak(600, 4))
    assert [v for v in judged(run) if v.kept is not True] == []
    assert throughput(run.acts, run.seconds) == pytest.approx(4)
    assert goodput(run.acts, run.seconds) == pytest.approx(4)


def test_a_run_that_slows_down_is_found(tmp_path: Path) -> None:
    """First tokens that take a fifth longer at the end."""

    def slower(at: float, act: dict[str, object]) -> dict[str, object]:
        return {**act, "first_ms": act["first_ms"] * 1.2} if at > 450 else act  # type: ignore[operator]

    run = recorded(tmp_path, scenarios.soak(600, 4), change=slower)
    assert broken(run) == ["time to first token: last quarter / first, median"]


def test_how_slow_the_machine_became_is_told_beside_it(tmp_path: Path) -> None:
    """The promise is the service's all the same."""

    def slower(at: float, act: dict[str, object]) -> dict[str, object]:
        return {**act, "first_ms": act["first_ms"] * 1.3} if at > 300 else act  # type: ignore[operator]

    run = recorded(tmp_path, scenarios.soak(600, 4), change=slower, slow_end=1.3)
    (verdict,) = [v for v in judged(run) if v.kept is False]
    assert "the machine itself: 1.30" in verdict.found


def test_a_leak_is_found_in_the_process_that_leaks(tmp_path: Path) -> None:
    """Three megabytes a minute, among samples that jump about by one."""
    run = recorded(tmp_path, scenarios.soak(600, 4), leak_mb=3.0)
    assert broken(run) == ["memory of each process"]
    assert {g.role: g.flat for g in growths(run)} == {"gateway": False, "memory": True}
    gateway = next(g for g in growths(run) if g.role == "gateway")
    assert gateway.mb_per_minute == pytest.approx(3.0, abs=0.2)


def test_a_wrong_answer_is_an_error_and_a_violation(tmp_path: Path) -> None:
    """One answer among many, with a status of 200."""

    def wrong(at: float, act: dict[str, object]) -> dict[str, object]:
        return {**act, "error": "foreign evidence", "violated": True} if at == 100 else act

    run = recorded(tmp_path, scenarios.mixed(240, 4), change=wrong)
    assert broken(run) == ["errors", "answers against what the owner holds"]
    assert summary(run)["errors"] == {"stream new picture: foreign evidence": 1}


def test_rejections_are_errors_but_under_overload(tmp_path: Path) -> None:
    """Where the service was asked for no more than it can do, it may not refuse."""

    def refused(at: float, act: dict[str, object]) -> dict[str, object]:
        rejected = {"status": 429, "error": "429 overloaded", "rejected": True, "first_ms": None, "total_ms": 12.0}
        return {**act, **rejected} if 60 <= at < 180 and at % 1 else act

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert "errors" in broken(recorded(tmp_path / "a", scenarios.mixed(240, 4), change=refused))
    loud = recorded(tmp_path / "b", scenarios.overload(240, 4), change=refused)
    assert broken(loud) == ["goodput under overload, streams/s"]


def test_saturation_is_the_most_of_any_stage(tmp_path: Path) -> None:
    """Stages with errors count for what they answered rightly."""

    def failing(at: float, act: dict[str, object]) -> dict[str, object]:
        return {**act, "error": "OSError"} if at >= 90 or at % 0.5 else act

    run = recorded(tmp_path, scenarios.saturation(180), change=failing)
    assert saturation(run) == pytest.approx(2.0, rel=0.05)


def test_the_page_is_whole_and_asks_for_nothing(tmp_path: Path) -> None:
    """Plots are in it as SVG that parses; no address outside is loaded."""
    run = recorded(tmp_path, scenarios.soak(600, 4))
    html = page(run)
    svgs = [part.split("</svg>")[0] + "</svg>" for part in html.split("<figure>")[1:]]
    assert len(svgs) >= 8
    for svg in svgs:
        ElementTree.fromstring(svg)
    assert "src=" not in html and "<link" not in html and "<script" not in html


def test_stages_follow_one_another() -> None:
    """And nothing follows the last."""
    scenario = scenarios.overload(240, 4)
    levels = [stage.level for at in (0, 59, 60, 179, 180, 239) if (stage := scenario.stage_at(at))]
    assert levels == [0.8, 0.8, 3.0, 3.0, 0.8, 0.8]
    assert scenario.stage_at(240) is None
    assert Scenario.of(json.loads(json.dumps(scenario.json()))) == scenario


def test_scrapes_are_summed_over_replicas() -> None:
    """By the labels that matter; what nobody asked for is left out."""
    text = "\n".join(
        [
            "# TYPE ray_rap_cache_lookups_total counter",
            'ray_rap_cache_lookups_total{kind="library",replica="a",result="hit"} 2.0',
            'ray_rap_cache_lookups_total{kind="library",replica="b",result="hit"} 3.0',
            'ray_rap_prompt_milliseconds_sum{x="a \\"quoted\\" }word"} 4.5',
            'ray_rap_prompt_milliseconds_bucket{le="5.0"} 1.0',
            "something_else 1.0",
        ]
    )
    assert watched(text) == [
        Reading("ray_rap_cache_lookups_total", ("library", "hit"), 5.0),
        Reading("ray_rap_prompt_milliseconds_sum", (), 4.5),
    ]
