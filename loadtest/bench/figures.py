"""Figures of a benchmark as JSON, as a table and as a picture, with what ran beside them."""

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 120
_out = Console()


def machine() -> dict[str, Any]:
    """What ran it, and how busy it was already."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "load_before": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }


def write(folder: Path, name: str, figures: Mapping[str, Any]) -> None:
    """``name.json`` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n")


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on the terminal."""
    table = Table(*columns, title=title, header_style="bold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    _out.print(table)


@contextmanager
def sheet(folder: Path, name: str, *, size_inches: tuple[float, float] = (8.0, 4.0)) -> Iterator["Axes"]:
    """Axes to draw on; ``name.png`` in the folder afterwards."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size_inches, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3)
    yield axes
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{name}.png")
