"""How a start goes on, shown while it goes on."""

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from rap_serve.cli.console import err
from rap_serve.cli.home import StartStatus, Step

_SIGNS = {"done": "[green]✓[/]", "failed": "[red]✗[/]", "waiting": "[dim]·[/]"}


class StartProgress:
    """A line per step on standard error: live on a terminal, otherwise once per change."""

    def __init__(self, console: Console = err) -> None:
        self._console = console
        self._live = Live(console=console, transient=True) if console.is_terminal else None
        self._began = time.monotonic()
        self._started: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._shown: dict[str, str] = {}
        self._spinner = Spinner("dots")

    def __enter__(self) -> "StartProgress":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def show(self, status: StartStatus) -> None:
        """Takes over how far the start is."""
        self._clock(status)
        if self._live:
            self._live.update(self._table(status))
        else:
            self._print_changes(status)

    def _clock(self, status: StartStatus) -> None:
        now = time.monotonic()
        for step in status.steps:
            if step.state != "waiting":
                self._started.setdefault(step.name, now)
            if step.state in {"done", "failed"}:
                self._took.setdefault(step.name, now - self._started[step.name])

    def _seconds(self, step: Step) -> float:
        if step.state == "running":
            return time.monotonic() - self._started[step.name]
        return self._took.get(step.name, 0.0)

    def _table(self, status: StartStatus) -> Table:
        table = Table.grid(padding=(0, 1))
        for step in status.steps:
            sign = self._spinner if step.state == "running" else Text.from_markup(_SIGNS.get(step.state, " "))
            seconds = "" if step.state == "waiting" else f"{self._seconds(step):.0f} s"
            table.add_row(sign, step.name, Text(seconds, style="dim"), Text(step.detail[:80], style="dim"))
        elapsed = f"{time.monotonic() - self._began:.0f} s"
        table.add_row("" if status.steps else self._spinner, Text("starting", style="bold"), elapsed, "")
        return table

    def _print_changes(self, status: StartStatus) -> None:
        for step in status.steps:
            if step.state != self._shown.get(step.name, "waiting"):
                elapsed = time.monotonic() - self._began
                self._console.print(f"{elapsed:5.0f} s  {step.name}: {step.state}", highlight=False)
            self._shown[step.name] = step.state
