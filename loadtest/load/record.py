"""What a load test left behind, read again: acts, samples of processes, scrapes."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.load.done import Done
from loadtest.load.prometheus import Reading
from loadtest.load.scenario import Scenario, Stage

ACTS, PROCESSES, SCRAPES, SCENARIO = "acts.jsonl", "processes.jsonl", "scrapes.jsonl", "scenario.json"
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape; ``at`` in seconds since the load began."""

    at: float
    readings: tuple[Reading, ...]

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's readings whose labels hold the given values."""
        wanted = set(labels.values())
        return sum(r.value for r in self.readings if r.name == name and wanted <= set(r.labels))


@dataclass(frozen=True, slots=True)
class Process:
    """One process over time."""

    role: str
    pid: int
    at: Floats
    own_mb: Floats
    cpu_percent: Floats
    open_files: Floats


@dataclass(frozen=True, slots=True)
class Run:
    """A finished load test. All times are seconds since the load began.

    ``yardstick_ms``: when, and how long a fixed piece of work took then: how slow the machine was.
    """

    scenario: Scenario
    about: dict[str, Any]
    started: float
    seconds: float
    acts: tuple[Done, ...]
    processes: tuple[Process, ...]
    cpu_percent: tuple[Floats, Floats]
    yardstick_ms: tuple[Floats, Floats]
    scrapes: tuple[Scrape, ...]

    def at(self, done: Done) -> float:
        """When an act was sent."""
        return done.at - self.started

    def stages(self) -> Iterator[tuple[Stage, tuple[Done, ...]]]:
        """Each stage with the acts that were sent in it."""
        begin = 0.0
        for stage in self.scenario.stages:
            end = begin + stage.seconds
            yield stage, self.between(begin, end)
            begin = end

    def between(self, begin: float, end: float) -> tuple[Done, ...]:
        """The acts that were sent in a time."""
        return tuple(d for d in self.acts if begin <= self.at(d) < end)


def read(folder: Path) -> Run:
    """The run that was recorded in a folder."""
    lines = [json.loads(line) for line in (folder / ACTS).read_text().splitlines()]
    started = next(line["started"] for line in lines if "started" in line)
    ended = next((line["ended"] for line in lines if "ended" in line), None)
    about = json.loads((folder / SCENARIO).read_text())
    scenario = Scenario.of(about.pop("scenario"))
    acts = tuple(sorted((Done(**line) for line in lines if "act" in line), key=lambda done: done.at))
    acts = tuple(done for done in acts if done.at >= started)
    last = ended or max((d.at + d.total_ms / 1_000 for d in acts), default=started)
    samples = _samples(folder / PROCESSES, started, last)
    at, cpu, yardstick = (np.array([s[key] for s in samples]) for key in ("at", "cpu_percent", "yardstick_ms"))
    scrapes = tuple(
        Scrape(s["at"], tuple(Reading(name, tuple(labels), value) for name, labels, value in s["readings"]))
        for s in _samples(folder / SCRAPES, started, last)
        if s["readings"]
    )
    seconds = min(scenario.seconds, last - started)
    return Run(scenario, about, started, seconds, acts, _processes(samples), (at, cpu), (at, yardstick), scrapes)


def _samples(path: Path, started: float, last: float) -> list[dict[str, Any]]:
    """Those that were taken while the load went on, a little before and after it left out."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{**line, "at": line["at"] - started} for line in lines if started <= line["at"] <= last + 1]


def _processes(samples: list[dict[str, Any]]) -> tuple[Process, ...]:
    by_pid: dict[tuple[int, str], list[tuple[float, dict[str, Any]]]] = {}
    for sample in samples:
        for reading in sample["processes"]:
            by_pid.setdefault((reading["pid"], reading["role"]), []).append((sample["at"], reading))
    return tuple(
        Process(
            role,
            pid,
            np.array([at for at, _ in series]),
            *(np.array([r[key] for _, r in series]) for key in ("own_mb", "cpu_percent", "open_files")),
        )
        for (pid, role), series in sorted(by_pid.items(), key=lambda item: item[0][1])
    )
