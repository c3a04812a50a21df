"""``rap eval``: measure the running service."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from rap_serve.cli.client import CliError, RapClient, service_of
from rap_serve.cli.console import err, friendly, out
from rap_serve.cli.eval import photographs
from rap_serve.cli.eval.ablate import ablations
from rap_serve.cli.eval.compare import difference_table, differences, settings_that_differ
from rap_serve.cli.eval.registry import SUITES, Suite
from rap_serve.cli.eval.result import Result, read_results, write_results
from rap_serve.cli.eval.run import SEED, Options, measure, publish, show
from rap_serve.cli.home import DEFAULT_HOME, HomeOption

Bad: TypeAlias = Annotated[Literal["skip", "refuse"], typer.Option(help="What to do with bad records.")]
Quick: TypeAlias = Annotated[bool, typer.Option("--quick", help="Ask less, for a first look.")]
Label: TypeAlias = Annotated[str, typer.Option(help="What to call this service in tables.")]
Seed: TypeAlias = Annotated[int, typer.Option(help="Of the generated pictures and of the answers.")]
JsonFile: TypeAlias = Annotated[Path | None, typer.Option("--json", help="Write results here, the report beside it.")]

app = typer.Typer(help="Measure the running service.", no_args_is_help=True)


def suite_command(suite: Suite) -> Callable[..., None]:
    """The command that runs one suite."""

    def command(
        quick: Quick = False,
        n: Annotated[int | None, typer.Option("--n", min=1, help="How many to ask about.")] = None,
        pack: Annotated[Path | None, typer.Option(help="A folder with pack.json, in place of drawn pictures.")] = None,
        database: Annotated[Path | None, typer.Option(help="Concepts in RAP's format; goes with --test.")] = None,
        test: Annotated[Path | None, typer.Option(help="RAP's or Yo'LLaVA's test file for this suite.")] = None,
        root: Annotated[Path | None, typer.Option(help="Where the paths in RAP's files begin.")] = None,
        bad: Bad = "skip",
        label: Label = "",
        seed: Seed = SEED,
        json_file: JsonFile = None,
        home: HomeOption = DEFAULT_HOME,
    ) -> None:
        options = Options(
            home=home,
            label=label,
            quick=quick,
            n=n,
            seed=seed,
            pack=pack,
            database=database,
            test=test,
            root=root,
            bad=bad,
        )
        publish([measure(suite, options)], json_file or home / "eval" / f"{suite.name}.json")

    command.__doc__ = suite.help
    return command


def everything(
    quick: Quick = False,
    label: Label = "",
    seed: Seed = SEED,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the suites that are in the results already.")] = False,
    json_file: JsonFile = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Runs every suite; with --quick in less than ten minutes on two cores."""
    file = json_file or home / "eval" / ("quick.json" if quick else "all.json")
    options = Options(home=home, label=label, quick=quick, seed=seed)
    done = {r.suite: r for r in read_results(file)} if resume and file.is_file() else {}
    began = time.perf_counter()
    results: list[Result] = []
    with RapClient(service_of(home)) as client:
        for name, suite in SUITES.items():
            kept = done.get(name)
            results.append(kept if kept and kept.settings["quick"] == quick else measure(suite, options, client=client))
            show(results[-1])
            write_results(results, file)
    publish(results, file, quiet=True)
    out.print(f"Took    {time.perf_counter() - began:.0f} s", highlight=False)


def compare(
    before: Annotated[Path, typer.Argument(help="Results, as JSON.")],
    after: Annotated[Path, typer.Argument(help="Other results of the same suites.")],
) -> None:
    """Shows two files of results side by side; a star where the intervals do not touch."""
    first, second = read_results(before), read_results(after)
    found = list(differences(first, second))
    if not found:
        raise CliError(f"{before} and {after} have no figure in common.")
    for warning in settings_that_differ(first, second):
        err.print(f"[yellow]Not alike:[/] {warning}", highlight=False)
    out.print(difference_table(found, first=before.stem, second=after.stem))


for _suite in SUITES.values():
    app.command(_suite.name)(friendly(suite_command(_suite)))
app.command("ablations")(friendly(ablations))
app.command("all")(friendly(everything))
app.command("compare")(friendly(compare))
app.command("photographs")(friendly(photographs.retrieval))
app.command("retrieval", hidden=True)(friendly(photographs.retrieval))
