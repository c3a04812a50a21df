"""Results as pictures: PNG files, drawn without a display."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rap_serve.cli.eval.result import Result, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (8.0, 4.0)
DPI = 120
_SIZE = re.compile(r"N = (\d+)")


def draw(result: Result, folder: Path) -> Path | None:
    """The suite's picture, written to the folder; None where there is nothing to draw."""
    paint = PAINTERS.get(result.suite)
    if paint is None or not any(r.figure.n for r in result.measured.rows):
        return None
    # Here, because importing it takes a second that no other command should pay.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(sheet)
    axes = sheet.add_subplot()
    paint(axes, result)
    axes.set_axisbelow(True)
    axes.grid(alpha=0.3)
    axes.set_title(f"{result.suite} ({result.label})" if result.label else result.suite)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.suite}.png"
    sheet.savefig(path)
    return path


def _captioning(axes: "Axes", result: Result) -> None:
    """Recall, precision and F1 by the number of concepts."""
    rows = [r for r in result.measured.rows if r.group.endswith(("concept", "concepts"))]
    _bars(axes, rows, ("recall", "precision", "F1"))


def _by_library(measures: Sequence[str]) -> Callable[["Axes", Result], None]:
    """Lines over the size of the library."""

    def paint(axes: "Axes", result: Result) -> None:
        series: dict[str, list[tuple[int, Row]]] = {}
        for row in result.measured.rows:
            size = _SIZE.match(row.group)
            if size and row.measure in measures:
                name = f"{row.measure}{row.group[size.end() :]}"
                series.setdefault(name, []).append((int(size[1]), row))
        for name, points in series.items():
            _line(axes, [x for x, _ in points], [r for _, r in points], name)
        axes.set_xlabel("concepts in the library")
        _percent_axis(axes)

    return paint


def _negatives(axes: "Axes", result: Result) -> None:
    """False accepts per picture over recall, before any threshold of the service."""
    for mode in dict.fromkeys(str(p["mode"]) for p in result.measured.curve):
        points = [p for p in result.measured.curve if p["mode"] == mode]
        axes.plot([100 * p["recall"] for p in points], [p["value"] for p in points], marker="o", label=mode)
    axes.set_xlabel("recall, %")
    axes.set_ylabel("false accepts per picture")
    if result.measured.curve:
        axes.legend()


def _bar_per_group(measure: str) -> Callable[["Axes", Result], None]:
    def paint(axes: "Axes", result: Result) -> None:
        _bars(axes, [r for r in result.measured.rows if r.measure == measure], (measure,))

    return paint


def _ablations(axes: "Axes", result: Result) -> None:
    measures = ("captioning F1", "captioning precision", "visual QA", "text QA", "recognition")
    _bars(axes, result.measured.rows, measures)


def _bars(axes: "Axes", rows: Sequence[Row], measures: Sequence[str]) -> None:
    """Groups of bars with their intervals."""
    groups = list(dict.fromkeys(r.group for r in rows))
    width = 0.8 / len(measures)
    for m, measure in enumerate(measures):
        found = [r for r in rows if r.measure == measure and r.figure.value == r.figure.value]
        places = [groups.index(r.group) + (m - (len(measures) - 1) / 2) * width for r in found]
        axes.bar(places, [100 * r.figure.value for r in found], width, yerr=_reach(found), capsize=2, label=measure)
    axes.set_xticks(
        range(len(groups)), groups, rotation=30 if len(groups) > 4 else 0, ha="right" if len(groups) > 4 else "center"
    )
    _percent_axis(axes)


def _line(axes: "Axes", xs: Sequence[int], rows: Sequence[Row], label: str) -> None:
    axes.errorbar(xs, [100 * r.figure.value for r in rows], yerr=_reach(rows), marker="o", capsize=2, label=label)


def _reach(rows: Sequence[Row]) -> list[list[float]]:
    """How far the intervals reach below and above, in percent."""
    below = [100 * max(0.0, r.figure.value - r.figure.low) for r in rows]
    return [below, [100 * max(0.0, r.figure.high - r.figure.value) for r in rows]]


def _percent_axis(axes: "Axes") -> None:
    axes.set_ylabel("%")
    axes.set_ylim(0, 105)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))


PAINTERS: Mapping[str, Callable[[Any, Result], None]] = {
    "captioning": _captioning,
    "topk": _by_library(("recall@1", "recall@3", "recall@5", "precision@1")),
    "scaling": _by_library(("captioning F1", "recognition, weighted")),
    "negatives": _negatives,
    "lookalikes": _bar_per_group("top-1 of the pair"),
    "wrong-references": _bar_per_group("answers that utter such a name"),
    "detector": _bar_per_group("mAP50"),
    "ablations": _ablations,
}
