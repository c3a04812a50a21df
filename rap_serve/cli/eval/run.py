"""One suite from its data to its files: the pack, the measurement, tables and plots."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rap_serve.cli.client import CliError, RapClient, service_of
from rap_serve.cli.console import err, out
from rap_serve.cli.eval.bench import Bench
from rap_serve.cli.eval.pack import Pack
from rap_serve.cli.eval.pack_file import read_pack
from rap_serve.cli.eval.plots import draw
from rap_serve.cli.eval.problems import Policy
from rap_serve.cli.eval.rap_files import RapFiles
from rap_serve.cli.eval.registry import Suite
from rap_serve.cli.eval.result import Result, write_results
from rap_serve.cli.eval.suites import Size
from rap_serve.cli.eval.tables import markdown, result_table
from rap_serve.cli.home import DEFAULT_HOME
from rap_serve.settings import PROJECT_ROOT

SEED = 7
SHOWN_PROBLEMS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a person chose. ``n``: in place of the suite's own; ``pack`` or ``database`` with ``test``: other data."""

    home: Path = DEFAULT_HOME
    label: str = ""
    quick: bool = False
    n: int | None = None
    seed: int = SEED
    pack: Path | None = None
    database: Path | None = None
    test: Path | None = None
    root: Path | None = None
    bad: Policy = "skip"
    steps: tuple[int, ...] = field(default=())


def measure(suite: Suite, options: Options, *, client: RapClient | None = None) -> Result:
    """The suite's result on the running service. Raises CliError."""
    if client is None:
        with RapClient(service_of(options.home)) as opened:
            return measure(suite, options, client=opened)
    size = size_of(suite, options)
    with tempfile.TemporaryDirectory() as scratch:
        pack = data_of(suite, options, Path(scratch), size)
        report_problems(pack)
        bench = Bench(client, prefix=f"eval-{suite.name}", seed=options.seed)
        began = time.perf_counter()
        measured = suite.run(bench, pack, size)
        seconds = time.perf_counter() - began
    settings = {
        "model": bench.model,
        "pack": pack.name,
        "generated": options.pack is None and options.database is None,
        "quick": options.quick,
        "n": size.n,
        "pictures": len(pack.pictures),
        "questions": len(pack.questions),
        "library": size.library,
        "seed": options.seed,
    }
    return Result(
        suite=suite.name,
        label=options.label,
        measured=measured,
        settings=settings,
        problems=pack.problems,
        seconds=seconds,
    )


def size_of(suite: Suite, options: Options) -> Size:
    """How much to ask: the suite's full or quick size, with the person's own numbers in it."""
    size = suite.quick if options.quick else suite.full
    steps = options.steps or size.steps
    return Size(options.n or size.n, max(steps, default=size.library), steps)


def data_of(suite: Suite, options: Options, scratch: Path, size: Size) -> Pack:
    """The pack: a given one, one out of RAP's files, or one of generated pictures written to ``scratch``."""
    if options.pack is not None:
        return read_pack(options.pack, bad=options.bad)
    if options.database is not None:
        return _of_rap(suite, options, options.database)
    folder = scratch / suite.name
    generate(suite.name, folder, size, seed=options.seed)
    return read_pack(folder, bad="refuse")


def generate(name: str, folder: Path, size: Size, *, seed: int) -> None:
    """Draws a suite's pack with the repository's generated world; raises CliError where that is not there."""
    command = [sys.executable, "-m", "training.eval_packs", "--suite", name, "--out", str(folder.resolve())]
    command += ["--n", str(size.n), "--library", str(size.library), "--seed", str(seed)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        raise CliError(f"The pictures could not be drawn, which needs the repository: {reason}. Or give a --pack.")


def report_problems(pack: Pack) -> None:
    """Says which records were left out."""
    for problem in pack.problems[:SHOWN_PROBLEMS]:
        err.print(f"Left out: {problem}", highlight=False, markup=False, soft_wrap=True)
    if len(pack.problems) > SHOWN_PROBLEMS:
        err.print(f"Left out: {len(pack.problems) - SHOWN_PROBLEMS} more.", highlight=False)


def publish(results: Sequence[Result], file: Path, *, quiet: bool = False) -> None:
    """Writes ``file``, a report in Markdown and plots beside it, and prints the tables."""
    write_results(results, file)
    folder = file.parent / f"{file.stem}-plots"
    plots = [path for result in results if (path := draw(result, folder))]
    report = file.with_suffix(".md")
    report.write_text(markdown(results, plots=[p.relative_to(file.parent) for p in plots]))
    if not quiet:
        for result in results:
            show(result)
    out.print(f"Results {file}\nReport  {report}", highlight=False, soft_wrap=True)


def show(result: Result) -> None:
    """Prints one result."""
    out.print(result_table(result))
    for note in result.measured.notes:
        out.print(note, style="dim", highlight=False, soft_wrap=True)


def _of_rap(suite: Suite, options: Options, database: Path) -> Pack:
    if options.test is None:
        raise CliError("A --database of RAP's goes with a --test: the file of captions, questions or recognitions.")
    files = RapFiles(database, root=options.root, bad=options.bad)
    readers = {
        "captioning": files.captions,
        "vqa": files.visual_qa,
        "text-qa": files.text_qa,
        "recognition": files.recognition,
    }
    if suite.name not in readers:
        raise CliError(f"RAP has no test files for {suite.name}; it has for {', '.join(readers)}.")
    return readers[suite.name](options.test)
