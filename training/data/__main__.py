"""Make conversations for training: ``python -m training.data world | coco | photographs --out DIR``.

A run that was stopped goes on where it stopped when the same command is given again. ``convert`` turns RAP's
published records into the form that runs write.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rap_serve.cli.console import err, fail, out
from training.data.assemble import MOST_PER_PICTURE
from training.data.coco import list_coco
from training.data.convert import convert
from training.data.dataset import DatasetSource
from training.data.describe import KEY_VARIABLE, Endpoint, EndpointFailed
from training.data.drafts import Source
from training.data.job import Job
from training.data.json_stream import InvalidJson
from training.data.listing import digest_of
from training.data.photographs import list_photographs
from training.data.pipeline import run
from training.data.problems import BadData, Problem, refused
from training.data.report import write_report
from training.data.shards import WORK, Refused, check_manifest, claimed, tidied, write_text
from training.data.world import WorldSource

_PLAIN_PERIOD_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and make the records; 0 where all went well."""
    options = _parser().parse_args(arguments)
    try:
        if options.source == "convert":
            return _converted(options)
        with claimed(options.out):
            return _made(options)
    except (BadData, EndpointFailed, Refused) as error:
        fail(str(error))
    except InvalidJson as error:
        fail(str(error.problem))
    except OSError as error:
        fail(f"{error.strerror}: {error.filename}")
    except KeyboardInterrupt:
        fail("Stopped. The same command goes on from here.")
    return 1


def _made(options: argparse.Namespace) -> int:
    job = _job(options)
    check_manifest(options.out, job.settings)
    if job.listed and job.bad == "refuse":
        raise refused(job.listed)
    with _Shown() as shown:
        result = run(job, workers=options.workers, progress=shown.update)
    content = write_report(job.out, job.settings)
    write_text(job.out / "run.json", json.dumps(result.json(), indent=1) + "\n")
    tidied(job.out)
    kinds = ", ".join(f"{count} {kind}" for kind, count in content["records of each kind"].items())
    out.print(
        f"{content['records']} records about {content['pictures']} pictures: {kinds}", highlight=False, soft_wrap=True
    )
    if content["bad data"]:
        bad = ", ".join(f"{count} x {kind}" for kind, count in content["bad data"].items())
        out.print(f"[yellow]Left out:[/] {bad}; see {job.out / 'problems.jsonl'}", highlight=False, soft_wrap=True)
    figures = ", ".join(f"{key} {value}" for key, value in result.json().items())
    out.print(figures, style="dim", highlight=False, soft_wrap=True)
    return 0


def _converted(options: argparse.Namespace) -> int:
    problems: list[Problem] = []
    count = convert(options.records, options.out, images=options.images, bad=options.bad, problems=problems)
    for problem in problems:
        err.print(str(problem), markup=False, highlight=False, soft_wrap=True)
    out.print(f"{count} records in {options.out}, {len(problems)} left out", highlight=False, soft_wrap=True)
    return 0


def _job(options: argparse.Namespace) -> Job:
    problems: list[Problem] = []
    source = _source(options, problems)
    count = source.count
    if count == 0:
        raise refused(problems) if problems else BadData("There is no picture with a usable box.")
    records = options.n or (count or 0) * options.records_per_picture
    pictures = -(-records // options.records_per_picture)
    return Job(
        out=options.out,
        source=source,
        records=records,
        pictures=pictures if count is None else min(pictures, count),
        seed=options.seed,
        per_picture=options.records_per_picture,
        shard_pictures=options.pictures_per_shard,
        bad=options.bad,
        describe="truth" if options.source == "world" else "endpoint" if options.describe_url else "category",
        endpoint=_endpoint(options),
        listed=tuple(problems),
    )


def _source(options: argparse.Namespace, problems: list[Problem]) -> Source:
    if options.source == "world":
        return WorldSource(options.split)
    if not options.images.is_dir():
        raise Refused(f"There is no folder {options.images}.")
    listing = options.out / WORK / "listing.sqlite"
    words = options.vocabulary.read_text(encoding="utf-8").split("\n") if options.vocabulary else []
    vocabulary = [word.strip() for word in words if word.strip()]
    files = {"vocabulary": options.vocabulary}
    if options.source == "coco":
        files["annotations"] = options.annotations
        listed = list_coco(options.annotations, listing, vocabulary=vocabulary, problems=problems)
    else:
        files |= {"boxes": options.boxes, "database": options.database, "avatar boxes": options.avatar_boxes}
        listed = list_photographs(
            options.boxes,
            listing,
            database=options.database,
            avatar_boxes=options.avatar_boxes,
            vocabulary=vocabulary,
            problems=problems,
        )
    inputs = (("source", options.source), *((name, digest_of(file)) for name, file in files.items() if file))
    return DatasetSource(listing=listed, images=options.images, out=options.out, inputs=inputs)


def _endpoint(options: argparse.Namespace) -> Endpoint | None:
    if options.source == "world" or not options.describe_url:
        return None
    return Endpoint(url=options.describe_url, model=options.describe_model, in_flight=options.describe_in_flight)


class _Shown:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._task = self._bar.add_task("shards", total=None)
        self._next = time.monotonic() + _PLAIN_PERIOD_SECONDS

    def __enter__(self) -> _Shown:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)
        if not err.is_terminal and time.monotonic() > self._next:
            err.print(f"{done} of {total} shards", highlight=False)
            self._next = time.monotonic() + _PLAIN_PERIOD_SECONDS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training.data", description=__doc__)
    sources = parser.add_subparsers(dest="source", required=True, metavar="world | coco | photographs | convert")
    world = sources.add_parser("world", help="the generated world, where the truth is known")
    world.add_argument("--split", choices=("train", "dev", "test"), default="train", help="whose things (train)")
    coco = sources.add_parser("coco", help="a detection dataset in COCO's form")
    coco.add_argument("--annotations", type=Path, required=True, help="the dataset's JSON file")
    photographs = sources.add_parser("photographs", help="a folder of photographs with a file of boxes")
    photographs.add_argument(
        "--boxes", type=Path, required=True, help="a list of pictures with objects, or boxes by picture"
    )
    photographs.add_argument("--database", type=Path, help="a database in RAP's form: categories, infos, avatars")
    photographs.add_argument("--avatar-boxes", type=Path, help="boxes of the database's pictures")
    for dataset in (coco, photographs):
        _dataset_options(dataset)
    for source in (world, coco, photographs):
        _common_options(source, needs_n=source is world)
    published = sources.add_parser("convert", help="RAP's published records")
    published.add_argument("records", type=Path, help="a .json or .jsonl file")
    published.add_argument("--out", type=Path, required=True, help="the file to write")
    published.add_argument("--images", type=Path, help="look for the pictures below this folder")
    published.add_argument("--bad", choices=("skip", "refuse"), default="skip", help="what becomes of bad data (skip)")
    return parser


def _dataset_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=Path, required=True, help="the folder that the pictures' paths start from")
    parser.add_argument("--vocabulary", type=Path, help="a file with a label on each line: others are bad data")
    parser.add_argument("--describe-url", help=f"an OpenAI-compatible endpoint, up to /v1; its key: {KEY_VARIABLE}")
    parser.add_argument("--describe-model", default="default", help="the endpoint's model")
    parser.add_argument("--describe-in-flight", type=int, default=4, help="requests at a time (4)")
    parser.add_argument(
        "--no-describe", dest="describe_url", action="store_const", const=None, help="say the category alone"
    )


def _common_options(parser: argparse.ArgumentParser, *, needs_n: bool) -> None:
    parser.add_argument("--out", type=Path, required=True, help="the folder to write; goes on where a run stopped")
    parser.add_argument("--n", type=_positive, required=needs_n, help="records to make (datasets: all pictures)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bad", choices=("skip", "refuse"), default="skip", help="what becomes of bad data (skip)")
    parser.add_argument("--workers", type=_positive, default=os.cpu_count() or 1, help="processes (one for each core)")
    most = range(1, MOST_PER_PICTURE + 1)
    parser.add_argument("--records-per-picture", type=int, choices=most, default=2, help="each of another kind (2)")
    parser.add_argument(
        "--pictures-per-shard", type=_positive, default=32, help="what is lost when a run is killed (32)"
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    raise SystemExit(main())
