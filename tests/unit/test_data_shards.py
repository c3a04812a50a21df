"""A run's folder: shards appear whole, settings are held to, and one run writes at a time."""

from pathlib import Path

import pytest

from training.data.job import Job, cut_shard, finish_shard, packed, unpacked
from training.data.problems import BadData, Problem
from training.data.report import write_report
from training.data.shards import Refused, all_problems, check_manifest, claimed, join_shards, unfinished
from training.data.world import WorldSource


def job(out: Path, **changes: object) -> Job:
    """Eleven records about six pictures in three shards."""
    settings = {"records": 11, "pictures": 6, "shard_pictures": 2, **changes}
    return Job(out=out, source=WorldSource(), **settings)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file by its path."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def made(work: Job) -> None:
    """All shards of the job, in this process."""
    for shard in unfinished(work.out, work.shards):
        finish_shard(work, shard, cut_shard(work, shard))
    join_shards(work.out, work.shards, work.listed)


def test_shards_share_the_pictures_evenly(tmp_path: Path) -> None:
    """No shard is so small that it lacks noise."""
    work = job(tmp_path, pictures=100, shard_pictures=32)
    sizes = [len(work.places(shard)) for shard in range(work.shards)]
    assert sizes == [25, 25, 25, 25]


def test_a_run_makes_exactly_the_records_it_was_asked_for(tmp_path: Path) -> None:
    """The last picture gives fewer."""
    work = job(tmp_path)
    made(work)
    assert write_report(tmp_path, work.settings)["records"] == 11


def test_shards_may_be_made_in_any_order_and_twice(tmp_path: Path) -> None:
    """The bytes are the same."""
    first, second = job(tmp_path / "a"), job(tmp_path / "b")
    made(first)
    for shard in (2, 0, 2, 1, 0):
        finish_shard(second, shard, cut_shard(second, shard))
    join_shards(second.out, second.shards, ())
    assert contents(first.out / "shards") == contents(second.out / "shards")
    assert (first.out / "records.json").read_bytes() == (second.out / "records.json").read_bytes()


def test_material_survives_the_way_between_stages(tmp_path: Path) -> None:
    """As plain columns."""
    material = cut_shard(job(tmp_path), 1)
    assert unpacked(packed(1, material)) == material


def test_a_shard_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    """Its leftovers are removed, and nothing of it was to be seen."""
    work = job(tmp_path)
    leftover = tmp_path / ".work" / "shard-00000-1"
    leftover.mkdir(parents=True)
    (leftover / "records.jsonl").write_text("half", encoding="utf-8")
    assert unfinished(tmp_path, work.shards) == [0, 1, 2] and not leftover.exists()


@pytest.mark.parametrize("change", [{"seed": 1}, {"records": 12}, {"source": WorldSource("test")}, {"per_picture": 1}])
def test_a_folder_takes_no_other_settings(tmp_path: Path, change: dict[str, object]) -> None:
    """The message says which one differs."""
    check_manifest(tmp_path, job(tmp_path).settings)
    check_manifest(tmp_path, job(tmp_path).settings)
    other = {"records": 11, "pictures": 6, "shard_pictures": 2, "source": WorldSource(), **change}
    with pytest.raises(Refused, match="other settings"):
        check_manifest(tmp_path, Job(out=tmp_path, **other).settings)  # type: ignore[arg-type]


def test_a_folder_with_other_things_in_it_is_refused(tmp_path: Path) -> None:
    """Nobody's files are mixed with a run's."""
    (tmp_path / "thesis.tex").write_text("", encoding="utf-8")
    with pytest.raises(Refused, match=r"thesis\.tex"):
        check_manifest(tmp_path, job(tmp_path).settings)


def test_two_runs_cannot_write_to_one_folder(tmp_path: Path) -> None:
    """The second one is told."""
    with claimed(tmp_path), pytest.raises(Refused, match="Another run"), claimed(tmp_path):
        pass
    with claimed(tmp_path):
        pass


def test_bad_data_is_kept_or_refused_as_asked(tmp_path: Path) -> None:
    """Refusing names it; keeping lists it, what was found before first."""
    problem = Problem("missing image", "labels.json", 7, "images[1]", "a.jpg: it is not there")
    work = job(tmp_path, shard_pictures=6)
    material = cut_shard(work, 0)
    spoilt = type(material)(drafts=material.drafts, files=material.files, problems=(problem,))
    with pytest.raises(BadData, match=r"labels\.json:7: missing image"):
        finish_shard(job(tmp_path, bad="refuse", shard_pictures=6), 0, spoilt)
    finish_shard(work, 0, spoilt)
    before = Problem("broken box", "labels.json", 3, "annotations[1]", "it is empty")
    join_shards(tmp_path, 1, [before])
    assert all_problems(tmp_path) == [before, problem]


def test_the_report_counts_kinds_and_shows_samples(tmp_path: Path) -> None:
    """Noise is named by no answer; the sheet and the text are there."""
    work = job(tmp_path)
    made(work)
    content = write_report(tmp_path, work.settings)
    assert sum(content["records of each kind"].values()) == 11 and content["records whose answers name noise"] == 0
    assert (tmp_path / "samples.jpg").stat().st_size > 10_000
    assert "samples.jpg" in (tmp_path / "report.md").read_text(encoding="utf-8")
