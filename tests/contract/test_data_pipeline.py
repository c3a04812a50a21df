"""The command on the real Ray Data: killed and resumed, with bad data, with an endpoint."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract.test_data_describe import Model, model  # noqa: F401 - a fixture
from tests.unit.test_data_datasets import coco_dataset
from training.data import read_records

ROOT = Path(__file__).resolve().parents[2]
WORLD = ["world", "--n", "47", "--pictures-per-shard", "3", "--workers", "2", "--seed", "5"]
SHARDS = 8
NOT_THE_SAME_TWICE = ("run.json", ".lock")  # figures of one very run

pytestmark = pytest.mark.slow


def started(*arguments: str) -> subprocess.Popen[str]:
    """The command, in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "training.data", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finished(*arguments: str) -> tuple[int, str]:
    """Its exit status and what it wrote."""
    process = started(*arguments)
    output, _ = process.communicate(timeout=280)
    return process.returncode, output


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path, but for figures of the run itself."""
    files = (f for f in sorted(folder.rglob("*")) if f.is_file() and f.name not in NOT_THE_SAME_TWICE)
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run makes that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole") / "out"
    status, output = finished(*WORLD, "--out", str(out))
    assert status == 0, output
    return out


def test_a_run_leaves_records_an_index_and_a_report(whole: Path) -> None:
    """And nothing that is unfinished."""
    records = list(read_records(whole, bad="refuse", images=whole))
    assert len(records) == 47
    index = json.loads((whole / "index.json").read_text(encoding="utf-8"))
    assert index["records"] == 47 and len(index["shards"]) == SHARDS
    assert {"report.md", "report.json", "samples.jpg", "problems.jsonl"} <= {f.name for f in whole.iterdir()}
    assert not (whole / ".work").exists()


def test_a_run_reports_its_speed_and_memory(whole: Path) -> None:
    """All processes together stay far below what the machine has."""
    figures = json.loads((whole / "run.json").read_text(encoding="utf-8"))
    assert figures["shards made"] == SHARDS and figures["records per second"] > 0
    assert 50 < figures["largest process, MiB"] < figures["all processes, MiB"] < 4096


def test_a_run_that_is_killed_and_started_again_makes_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """kill -9 in the middle: finished shards are kept as they are, the others made."""
    out = tmp_path / "out"
    process = started(*WORLD, "--out", str(out))
    deadline = time.monotonic() + 240
    while len(list((out / "shards").glob("*"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "records.json").exists()
    status, output = finished(*WORLD, "--out", str(out))
    assert status == 0, output
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["shards kept"] >= 2
    assert contents(out) == contents(whole)


def test_a_finished_run_has_nothing_left_to_do(whole: Path) -> None:
    """And its bytes stay as they are."""
    before = contents(whole)
    status, output = finished(*WORLD, "--out", str(whole))
    assert status == 0 and "shards made 0" in output
    assert contents(whole) == before


def test_another_seed_is_refused_in_the_same_folder(whole: Path) -> None:
    """With a sentence, not a traceback."""
    status, output = finished(*WORLD[:-1], "6", "--out", str(whole))
    assert status == 1 and "seed: 5 there, 6 now" in output and "Traceback" not in output


def test_a_dataset_with_bad_data_is_described_and_made(
    tmp_path: Path,
    model: Model,  # noqa: F811
) -> None:
    """What is bad is listed; crops are described once, also after a refusal by the command."""
    dataset = coco_dataset(tmp_path / "coco", pictures=8)
    dataset.document["annotations"][2]["bbox"] = [0, 0, -1, 5]
    dataset.write()
    (dataset.images / "6.jpg").unlink()
    paths = ["--annotations", str(dataset.annotations), "--images", str(dataset.images)]
    endpoint = ["--describe-url", model.url, "--describe-model", "m"]
    command = ["coco", *paths, *endpoint, "--pictures-per-shard", "4", "--workers", "2"]
    status, output = finished(*command, "--out", str(tmp_path / "out"))
    assert status == 0 and "1 x broken box, 1 x missing image" in output, output
    records = list(read_records(tmp_path / "out", bad="refuse", images=tmp_path / "out"))
    assert len(records) == 14 and all(c.info and "red mug" in c.info for r in records for c in r.extra)
    assert len(model.requests) == 13  # two things on each of seven pictures, one of which had a broken box


def test_bad_data_ends_the_run_where_it_is_to_be_refused(tmp_path: Path) -> None:
    """A picture that is missing is found in a worker; its place in the file is named all the same."""
    dataset = coco_dataset(tmp_path / "coco", pictures=4)
    dataset.write()
    (dataset.images / "2.jpg").unlink()
    paths = ["--annotations", str(dataset.annotations), "--images", str(dataset.images)]
    status, output = finished("coco", *paths, "--no-describe", "--bad", "refuse", "--out", str(tmp_path / "out"))
    assert status == 1 and "missing image" in output and "images[2]" in output and "Traceback" not in output
