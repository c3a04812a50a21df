"""Two files of results side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.markup import escape
from rich.table import Table

from rap_serve.cli.eval.bootstrap import Figure
from rap_serve.cli.eval.result import Result
from rap_serve.cli.eval.tables import interval, percent


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure in both files. ``clear``: the two intervals do not touch."""

    suite: str
    group: str
    measure: str
    before: Figure
    after: Figure

    @property
    def change(self) -> float:
        return self.after.value - self.before.value

    @property
    def clear(self) -> bool:
        return self.after.low > self.before.high or self.after.high < self.before.low


def differences(before: Sequence[Result], after: Sequence[Result]) -> Iterator[Difference]:
    """The figures that both have and that exist, in the order of ``before``."""
    later = {(r.suite, row.group, row.measure): row.figure for r in after for row in r.measured.rows}
    for result in before:
        for row in result.measured.rows:
            other = later.get((result.suite, row.group, row.measure))
            if other is not None and row.figure.n and other.n and row.figure.value == row.figure.value:
                yield Difference(result.suite, row.group, row.measure, row.figure, other)


def settings_that_differ(before: Sequence[Result], after: Sequence[Result]) -> list[str]:
    """What makes a comparison unfair: settings of one suite that are not the same in both."""
    later = {r.suite: r.settings for r in after}
    found = []
    for result in before:
        other = later.get(result.suite, {})
        for key in ("quick", "n", "library", "seed", "pack"):
            if result.suite in later and result.settings.get(key) != other.get(key):
                found.append(f"{result.suite}: {key} is {result.settings.get(key)} and {other.get(key)}")
    return found


def difference_table(found: Sequence[Difference], *, first: str, second: str) -> Table:
    """A row per figure; a star where the intervals do not touch."""
    table = Table("suite", "of", "measure", first, second, "change", "", header_style="bold")
    for d in found:
        before, after = (f"{percent(f)} ({interval(f)})" for f in (d.before, d.after))
        change = f"{100 * d.change:+.1f}"
        table.add_row(d.suite, escape(d.group), d.measure, before, after, change, "*" if d.clear else "")
    return table
