"""Results as tables, on the terminal and in Markdown, beside what others have published."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from rap_serve.cli.eval.bootstrap import Figure
from rap_serve.cli.eval.published import COLUMNS, published
from rap_serve.cli.eval.result import Result, Row

NONE = "-"
PER_PICTURE = "per picture"


def percent(figure: Figure) -> str:
    """The value in percent."""
    return NONE if figure.value != figure.value else f"{100 * figure.value:.1f}"


def interval(figure: Figure) -> str:
    """The 95 % interval in percent."""
    return NONE if figure.low != figure.low else f"{100 * figure.low:.1f} - {100 * figure.high:.1f}"


def cells(row: Row) -> tuple[str, str, str]:
    """Value, interval and n as they are printed; counts per picture as they are, the rest in percent."""
    found = row.figure
    if row.measure.endswith(PER_PICTURE) and found.value == found.value:
        return f"{found.value:.3f} each", f"{found.low:.3f} - {found.high:.3f}", str(found.n)
    return percent(found), interval(found), str(found.n)


def result_table(result: Result) -> Table:
    """All rows of a result."""
    table = Table("of", "measure", "%", "95 % interval", "n", title=title(result), header_style="bold")
    before = ""
    for row in result.measured.rows:
        if before and row.group != before:
            table.add_section()
        before = row.group
        table.add_row(escape(row.group), row.measure, *cells(row))
    return table


def title(result: Result) -> str:
    """The suite, and what the service was called."""
    return f"{result.suite} ({result.label})" if result.label else result.suite


def markdown(results: Sequence[Result], *, plots: Iterable[Path] = ()) -> str:
    """A report of all results; ``plots``: pictures to show, as paths from the report."""
    parts = ["# Evaluation\n", HEAD]
    for result in results:
        parts.append(f"\n## {title(result)}\n\n{settings_line(result)}\n\n{markdown_table(result)}")
        parts += [f"\n- {note}" for note in result.measured.notes]
        shown = [p for p in plots if p.stem == result.suite]
        parts += [f"\n\n![{result.suite}]({p.as_posix()})" for p in shown]
        if result.problems:
            parts.append(f"\n\n{len(result.problems)} records were left out: {result.problems[0]}")
        parts.append("\n")
    return "".join(parts)


def markdown_table(result: Result) -> str:
    """The rows as Markdown; the columns of others only where they have something."""
    known = [published(result.suite, r.group, r.measure) for r in result.measured.rows]
    columns = [i for i in range(len(COLUMNS)) if any(values[i] for values in known)]
    head = ["of", "measure", "%", "95 % interval", "n", *(COLUMNS[i] for i in columns)]
    lines = [_line(head), _line(["---"] * len(head))]
    for row, values in zip(result.measured.rows, known, strict=True):
        lines.append(_line([row.group, row.measure, *cells(row), *(values[i] for i in columns)]))
    return "\n".join(lines) + "\n"


def settings_line(result: Result) -> str:
    """What a reader needs to repeat it, in one line."""
    shown = {k: v for k, v in result.settings.items() if isinstance(v, str | int | float) and v != ""}
    return ", ".join([*(f"{k} {v}" for k, v in shown.items()), f"{result.seconds:.0f} s"])


def _line(entries: Sequence[str]) -> str:
    return "| " + " | ".join(entry.replace("|", "/") for entry in entries) + " |"


HEAD = (
    "Values in percent with the 95 % interval of resampling whole pictures (pairs, concepts) 2,000 times, seeded; "
    "where all cases agree it is Wilson's. n: cases. Retrieval is on throughout. The columns of others are what they "
    "published, on photographs of other things: an order of magnitude, not a ranking.\n"
)
