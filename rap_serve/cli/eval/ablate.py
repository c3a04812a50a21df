"""``rap eval ablations``: what each part is worth, measured on one service or merged from several."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from rap_serve.cli.client import CliError, RapClient, service_of
from rap_serve.cli.eval.bench import Bench
from rap_serve.cli.eval.registry import SUITES
from rap_serve.cli.eval.result import Result, read_results
from rap_serve.cli.eval.run import SEED, Options, data_of, publish
from rap_serve.cli.eval.suites import Size
from rap_serve.cli.eval.suites.ablations import FULL, Packs, merged, row, variants
from rap_serve.cli.home import DEFAULT_HOME, HomeOption

FULL_SIZES: Mapping[str, int] = {"captioning": 40, "vqa": 60, "text-qa": 60, "recognition": 60}
QUICK_SIZES: Mapping[str, int] = {"captioning": 5, "vqa": 6, "text-qa": 8, "recognition": 8}


def ablations(
    label: Annotated[str, typer.Option(help="The row that this service is, such as 'without negatives'.")] = FULL,
    merge: Annotated[list[Path] | None, typer.Option(help="Results of other services, to add; repeat.")] = None,
    only_merge: Annotated[bool, typer.Option("--only-merge", help="Measure nothing.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Ask less, for a first look.")] = False,
    seed: Annotated[int, typer.Option(help="Of the generated pictures and of the answers.")] = SEED,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write results here.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """One table: full, without retrieval, info, augmentation, negatives, authorisation."""
    results = [r for file in merge or () for r in read_results(file) if r.suite == "ablations"]
    if not only_merge:
        results += measured_rows(Options(home=home, label=label, quick=quick, seed=seed))
    if not results:
        raise CliError("There is nothing to show: --only-merge goes with --merge.")
    publish([merged(results)], json_file or home / "eval" / "ablations.json")


def measured_rows(options: Options, *, sizes: Mapping[str, int] | None = None) -> list[Result]:
    """The rows that a service of the options' label can give; without a label it is the full one."""
    numbers = sizes or (QUICK_SIZES if options.quick else FULL_SIZES)
    results = []
    with tempfile.TemporaryDirectory() as scratch, RapClient(service_of(options.home)) as client:
        packs = _packs(options, Path(scratch), numbers)
        for variant in variants(options.label or FULL):
            bench = Bench(
                client,
                prefix="eval-ablations",
                seed=options.seed,
                oracle=variant.oracle,
                with_info=variant.with_info,
            )
            began = time.perf_counter()
            found = row(bench, packs, variant.label)
            settings = {"model": bench.model, "quick": options.quick, "seed": options.seed, **numbers}
            spent = time.perf_counter() - began
            results.append(
                Result(suite="ablations", label=variant.label, measured=found, settings=settings, seconds=spent)
            )
    return results


def _packs(options: Options, scratch: Path, numbers: Mapping[str, int]) -> Packs:
    found: Sequence[str] = ("captioning", "vqa", "text-qa", "recognition")
    packs = [data_of(SUITES[name], options, scratch, Size(numbers[name])) for name in found]
    return Packs(*packs)
