"""A run as pictures over time, each an SVG text to put into a page."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.load.done import Done
from loadtest.load.record import Run, Scrape
from loadtest.load.verdicts import LATENCIES, latencies

SIZE_INCHES = (6.4, 3.0)
COLOURS = ("#2f6fde", "#e0782f", "#2f9e6b", "#b04fc4", "#c9352b", "#7a8494", "#b59a1b", "#1aa3b8", "#8b5a3c", "#5b52c9")
STYLE = {
    "axes.edgecolor": "#c6ccd6",
    "axes.labelcolor": "#4a5364",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": "#1c2434",
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "font.size": 9,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "rap-serve",
    "xtick.color": "#4a5364",
    "ytick.color": "#4a5364",
}
MOST_LINES = 10

Paint: TypeAlias = Callable[[Axes, Run], None]


@dataclass(frozen=True, slots=True)
class Plot:
    """``svg``: starts with the ``svg`` element."""

    section: str
    svg: str


def plots(run: Run) -> list[Plot]:
    """All that the run has data for."""
    return [Plot(section, svg) for section, title, paint in _PAINTERS if (svg := _drawn(run, title, paint))]


def _drawn(run: Run, title: str, paint: Paint) -> str:
    """Empty where nothing was painted."""
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot()
        paint(axes, run)
        if not axes.has_data():
            return ""
        axes.set_title(title)
        axes.set_xlim(0, run.seconds / 60)
        axes.set_xlabel("minutes")
        axes.grid(axis="y", color="#e8ebf0")
        axes.set_axisbelow(True)
        _stages(axes, run)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02))
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _from_zero(axes: Axes) -> None:
    """With room above, so that a line at its limit is seen."""
    axes.autoscale_view()
    axes.set_ylim(0, (1.08 * axes.dataLim.y1 if axes.has_data() else 0) or 1)


def _stages(axes: Axes, run: Run) -> None:
    """Where one stage ends and the next begins."""
    begin = 0.0
    for stage in run.scenario.stages[:-1]:
        begin += stage.seconds
        axes.axvline(begin / 60, color="#9aa3b2", linewidth=0.8, linestyle=":")


def _windows(run: Run) -> Iterator[tuple[float, float, tuple[Done, ...]]]:
    """Some 40 stretches of time with their acts: middle in minutes, seconds, acts."""
    width = max(5.0, run.seconds / 40)
    for begin in np.arange(0, run.seconds, width):
        yield (begin + width / 2) / 60, width, run.between(begin, begin + width)


def _latency(which: str) -> Paint:
    def paint(axes: Axes, run: Run) -> None:
        found = [(at, latencies(acts, which)) for at, _, acts in _windows(run)]
        found = [(at, values) for at, values in found if values]
        for number, share in enumerate((50, 95, 99)):
            ys = [float(np.percentile(values, share)) for _, values in found]
            _line(axes, [at for at, _ in found], ys, f"p{share}", number)
        axes.set_ylabel("ms")
        _from_zero(axes)

    return paint


def _acts(axes: Axes, run: Run) -> None:
    windows = list(_windows(run))
    xs = [at for at, _, _ in windows]
    _line(axes, xs, [len(acts) / width for _, width, acts in windows], "sent", 0)
    done = [sum(d.error is None for d in acts) / width for _, width, acts in windows]
    _line(axes, xs, done, "answered rightly", 2)
    if any(d.rejected for d in run.acts):
        _line(axes, xs, [sum(d.rejected for d in acts) / width for _, width, acts in windows], "rejected", 1)
    axes.set_ylabel("acts per second")
    _from_zero(axes)


def _errors(axes: Axes, run: Run) -> None:
    kinds = sorted({d.error for d in run.acts if d.error})[:MOST_LINES]
    windows = list(_windows(run))
    for number, kind in enumerate(kinds):
        _line(
            axes, [at for at, _, _ in windows], [sum(d.error == kind for d in a) for _, _, a in windows], kind, number
        )
    axes.set_ylabel("errors")
    _from_zero(axes)


def _rate_of(name: str, *keys: str) -> Paint:
    """A counter's increase per second, one line for each of its label values."""

    def paint(axes: Axes, run: Run) -> None:
        series = sorted({r.labels for s in run.scrapes for r in s.readings if r.name == name})
        for number, labels in enumerate(series[:MOST_LINES]):
            xs, ys = _increase(run, lambda s, labels=labels: _value(s, name, labels))
            _line(axes, xs, ys, " ".join(labels) or name, number)
        axes.set_ylabel(keys[0])
        _from_zero(axes)

    return paint


def _gauge(name: str, unit: str) -> Paint:
    def paint(axes: Axes, run: Run) -> None:
        series = sorted({r.labels for s in run.scrapes for r in s.readings if r.name == name})
        xs = [s.at / 60 for s in run.scrapes]
        for number, labels in enumerate(series[:MOST_LINES]):
            _line(axes, xs, [_value(s, name, labels) for s in run.scrapes], " ".join(labels) or name, number, step=True)
        axes.set_ylabel(unit)
        _from_zero(axes)

    return paint


def _mean_of(name: str, unit: str) -> Paint:
    """A histogram's mean between scrapes, one line for each of its label values."""

    def paint(axes: Axes, run: Run) -> None:
        series = sorted({r.labels for s in run.scrapes for r in s.readings if r.name == f"{name}_count"})
        for number, labels in enumerate(series[:MOST_LINES]):
            xs, sums = _increase(run, lambda s, labels=labels: _value(s, f"{name}_sum", labels))
            _, counts = _increase(run, lambda s, labels=labels: _value(s, f"{name}_count", labels))
            points = [(x, a / b) for x, a, b in zip(xs, sums, counts, strict=True) if b > 0]
            _line(axes, [x for x, _ in points], [y for _, y in points], " ".join(labels) or "mean", number)
        axes.set_ylabel(unit)
        _from_zero(axes)

    return paint


def _hits(axes: Axes, run: Run) -> None:
    lookups = "ray_rap_cache_lookups_total"
    kinds = sorted({r.labels[0] for s in run.scrapes for r in s.readings if r.name == lookups})
    pairs = [(kind, (lookups, {"kind": kind, "result": "hit"}), (lookups, {"kind": kind})) for kind in kinds]
    pairs += [
        (name, (f"ray_vllm_{key}_hits_total", {}), (f"ray_vllm_{key}_queries_total", {}))
        for name, key in (("prompt prefixes (vLLM)", "prefix_cache"), ("pictures (vLLM)", "mm_cache"))
    ]
    for number, (name, (hit, of_hit), (asked, of_asked)) in enumerate(pairs):
        xs, hits = _increase(run, lambda s, n=hit, o=of_hit: s.total(n, **o))
        _, all_ = _increase(run, lambda s, n=asked, o=of_asked: s.total(n, **o))
        points = [(x, 100 * h / a) for x, h, a in zip(xs, hits, all_, strict=True) if a > 0]
        _line(axes, [x for x, _ in points], [y for _, y in points], name, number)
    axes.set_ylabel("% found")
    axes.set_ylim(0, 102)


def _processes(which: str, unit: str) -> Paint:
    """The processes with most of it."""

    def paint(axes: Axes, run: Run) -> None:
        largest = sorted(run.processes, key=lambda p: -float(np.max(getattr(p, which))))[:MOST_LINES]
        for number, process in enumerate(largest):
            _line(axes, list(process.at / 60), list(getattr(process, which)), process.role, number)
        axes.set_ylabel(unit)
        _from_zero(axes)

    return paint


def _machine(axes: Axes, run: Run) -> None:
    """How slow the machine was by itself: neighbours on the same silicon show here, whatever the service does."""
    at, ms = run.yardstick_ms
    _line(axes, list(at / 60), list(ms), "a fixed piece of work", 0)
    axes.set_ylabel("ms")
    _from_zero(axes)


def _value(scrape: Scrape, name: str, labels: tuple[str, ...]) -> float:
    return sum(r.value for r in scrape.readings if r.name == name and r.labels == labels)


def _increase(run: Run, value: Callable[[Scrape], float]) -> tuple[list[float], list[float]]:
    """Per second between one scrape and the next; a counter that begins anew counts from there."""
    xs, ys = [], []
    for before, after in zip(run.scrapes, run.scrapes[1:], strict=False):
        xs.append((before.at + after.at) / 120)
        ys.append(max(0.0, value(after) - value(before)) / (after.at - before.at))
    return xs, ys


def _line(axes: Axes, xs: Sequence[float], ys: Sequence[float], label: str, number: int, *, step: bool = False) -> None:
    if xs:
        style = "steps-post" if step else "default"
        axes.plot(xs, ys, color=COLOURS[number % len(COLOURS)], linewidth=1.5, label=label, drawstyle=style)


_PAINTERS: list[tuple[str, str, Paint]] = [
    ("What users see", "Acts", _acts),
    *(("What users see", which[0].upper() + which[1:], _latency(which)) for which in LATENCIES),
    ("What users see", "Errors by kind", _errors),
    ("Inside", "Where retrievals spend their time, mean", _mean_of("ray_rap_retrieval_milliseconds", "ms")),
    ("Inside", "MLLM: first token, mean", _mean_of("ray_rap_mllm_first_token_milliseconds", "ms")),
    ("Inside", "Found in caches", _hits),
    ("Inside", "Tokens", _rate_of("ray_rap_mllm_tokens_total", "tokens per second")),
    ("Inside", "Batch sizes, mean", _mean_of("ray_rap_batch_size", "pictures or crops")),
    ("Inside", "Waiting for a pass, mean", _mean_of("ray_rap_batch_wait_seconds", "s")),
    ("Ray Serve", "Healthy replicas", _gauge("ray_serve_deployment_replica_healthy", "replicas")),
    ("Ray Serve", "Waiting for a replica", _gauge("ray_serve_deployment_queued_queries", "calls")),
    ("Ray Serve", "Under way in replicas", _gauge("ray_serve_replica_processing_queries", "calls")),
    ("Processes", "Memory of its own", _processes("own_mb", "MB")),
    ("Processes", "Processor time", _processes("cpu_percent", "% of a core")),
    ("Processes", "The machine itself", _machine),
    ("Processes", "Open files", _processes("open_files", "descriptors")),
]
