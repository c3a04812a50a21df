"""What a suite measured, and its file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rap_serve.cli.client import CliError
from rap_serve.cli.database import read_json
from rap_serve.cli.eval.bootstrap import Figure

FORMAT, VERSION = "rap-eval-result", 1


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: of which cases, and of what."""

    group: str
    measure: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Measured:
    """What a suite found. ``cases``: the single answers; ``curve``: points to draw; ``notes``: to print."""

    rows: tuple[Row, ...]
    cases: tuple[Mapping[str, Any], ...] = ()
    curve: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a suite found, under which conditions."""

    suite: str
    label: str
    measured: Measured
    settings: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    seconds: float = 0.0

    def figure(self, group: str, measure: str) -> Figure | None:
        """The figure of that name, if there is one."""
        return next((r.figure for r in self.measured.rows if (r.group, r.measure) == (group, measure)), None)

    def json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "suite": self.suite,
            "label": self.label,
            "settings": dict(self.settings),
            "seconds": round(self.seconds, 1),
            "notes": list(self.measured.notes),
            "problems": list(self.problems),
            "rows": [{"group": r.group, "measure": r.measure, **r.figure.json()} for r in self.measured.rows],
            "curve": [dict(point) for point in self.measured.curve],
            "cases": [dict(case) for case in self.measured.cases],
        }


def write_results(results: Sequence[Result], file: Path) -> None:
    """Writes the results as one file."""
    content = {"format": FORMAT, "version": VERSION, "results": [r.json() for r in results]}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def read_results(file: Path) -> list[Result]:
    """The results of a file; raises CliError where it holds none."""
    content = read_json(file)
    if not isinstance(content, dict) or content.get("format") != FORMAT or content.get("version") != VERSION:
        raise CliError(f"{file} holds no results of format {FORMAT!r}, version {VERSION}.")
    return [_result(raw) for raw in content["results"]]


def _result(raw: dict[str, Any]) -> Result:
    rows = tuple(Row(r["group"], r["measure"], Figure.of(r)) for r in raw["rows"])
    measured = Measured(rows, tuple(raw["cases"]), tuple(raw["curve"]), tuple(raw["notes"]))
    return Result(
        suite=raw["suite"],
        label=raw["label"],
        measured=measured,
        settings=raw["settings"],
        problems=tuple(raw["problems"]),
        seconds=float(raw["seconds"]),
    )
