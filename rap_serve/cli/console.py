"""Where commands write, and how their failures read."""

import functools
import os
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from rap_serve.cli.client import CliError
from rap_serve.domain.errors import RapError

P = ParamSpec("P")
R = TypeVar("R")
Item = TypeVar("Item")

out = Console()
err = Console(stderr=True)


def friendly(command: Callable[P, R]) -> Callable[P, R]:
    """``command``, ending with a message and exit status 1 where it failed; RAP_DEBUG=1 shows the traceback."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:  # the outermost seam: whatever went wrong becomes a message
            if os.environ.get("RAP_DEBUG") == "1":
                raise
            fail(message_for(error))
            raise typer.Exit(1) from None

    return wrapped


def message_for(error: Exception) -> str:
    """What a person should read about ``error``."""
    if isinstance(error, CliError | RapError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return f"{type(error).__name__}: {error} (RAP_DEBUG=1 shows where)"


def fail(message: str) -> None:
    """Writes a failure to standard error."""
    err.print(f"[bold red]Error:[/] {escape(message)}", highlight=False, soft_wrap=True)


def tracked(items: Iterable[Item], what: str, total: int) -> Iterable[Item]:
    """The same items, with a progress bar on standard error where that is a terminal."""
    return track(items, what, total, console=err, transient=True, disable=not err.is_terminal)
