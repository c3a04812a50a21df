"""Whether a load test kept what is promised: errors, latencies that stay, memory that stays, an end to overload."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from loadtest.load.done import Done
from loadtest.load.record import Floats, Process, Run

SLOWER = 1.10
"""The last quarter's median latency over the first's."""

GROWTH_SHARE, GROWTH_MB = 0.02, 8.0
"""Memory is flat where its line grows by less than either after warm-up."""

MIN_SAMPLES = 10
REJECTED_MS = 100.0
GOODPUT_SHARE = 0.9
NORMAL_SECONDS, NORMAL_RATIO = 10.0, 1.5
SLO_FIRST_MS, SLO_TOKEN_MS = 2_000.0, 100.0
SATURATED_GAIN = 1.05

LATENCIES: dict[str, Callable[[Done], float | None]] = {
    "time to first token": lambda done: done.first_ms,
    "time per output token": lambda done: done.token_ms,
    "end to end, streams": lambda done: (
        done.total_ms if done.first_ms is not None and done.act != "disconnect" else None
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """``kept``: None where the run says nothing about it."""

    name: str
    kept: bool | None
    found: str
    promised: str


@dataclass(frozen=True, slots=True)
class Growth:
    """How a process's memory went after warm-up. ``mb_per_minute``: of the median line through all pairs of samples."""

    role: str
    pid: int
    before_mb: float
    after_mb: float
    mb_per_minute: float
    grown_mb: float
    flat: bool


def latencies(acts: Iterable[Done], which: str) -> list[float]:
    """Milliseconds of the acts that were answered."""
    of = LATENCIES[which]
    return [ms for done in acts if done.error is None and (ms := of(done)) is not None]


def judged(run: Run) -> list[Verdict]:
    """Every promise that this kind of run can be held to."""
    verdicts = [_errors(run), _violations(run)]
    if run.scenario.name in ("mixed", "soak"):
        verdicts += _steady(run)
        verdicts += _memory(run)
    if run.scenario.name == "overload":
        verdicts += _overload(run)
    return verdicts


def errors(acts: Iterable[Done], *, overloaded: bool) -> Counter[str]:
    """By act and kind. Under overload a rejection is an answer."""
    return Counter(f"{d.act}: {d.error}" for d in acts if d.error and not (overloaded and d.rejected))


def growths(run: Run) -> list[Growth]:
    """Of every process that was there long enough."""
    return [growth for process in run.processes if (growth := _growth(process, run.scenario.warm_up_seconds))]


def _growth(process: Process, warm_up_seconds: float) -> Growth | None:
    after = process.at >= warm_up_seconds
    at, mb = process.at[after], process.own_mb[after]
    if len(at) < MIN_SAMPLES:
        return None
    slope = theil_sen(at, mb)
    grown = slope * float(at[-1] - at[0])
    flat = grown <= max(GROWTH_SHARE * float(np.median(mb)), GROWTH_MB)
    quarter = max(1, len(mb) // 4)
    before, later = float(np.median(mb[:quarter])), float(np.median(mb[-quarter:]))
    return Growth(
        process.role, process.pid, round(before, 1), round(later, 1), round(60 * slope, 3), round(grown, 1), flat
    )


def theil_sen(x: Floats, y: Floats) -> float:
    """The median slope over all pairs, which single outliers do not move."""
    first, second = np.triu_indices(len(x), 1)
    return float(np.median((y[second] - y[first]) / (x[second] - x[first])))


def goodput(acts: Sequence[Done], seconds: float) -> float:
    """Streams per second that came whole and within the objective for first and further tokens."""
    good = [
        d
        for d in acts
        if d.error is None
        and d.first_ms is not None
        and d.first_ms <= SLO_FIRST_MS
        and (d.token_ms or 0.0) <= SLO_TOKEN_MS
    ]
    return len(good) / seconds


def throughput(acts: Sequence[Done], seconds: float) -> float:
    """Acts per second that were answered rightly."""
    return sum(done.error is None for done in acts) / seconds


def saturation(run: Run) -> float:
    """Acts per second where more clients get no more done: the most of any stage."""
    return max(throughput(acts, stage.seconds) for stage, acts in run.stages())


def summary(run: Run) -> dict[str, Any]:
    """All of it, as short JSON."""
    return {
        "scenario": run.scenario.json(),
        "acts": len(run.acts),
        "errors": dict(errors(run.acts, overloaded=run.scenario.name == "overload")),
        "rejected": sum(d.rejected for d in run.acts),
        "per_second": round(throughput(run.acts, run.seconds), 3),
        "saturation_per_second": round(saturation(run), 3) if run.scenario.name == "saturation" else None,
        "latency_ms": {which: percentiles(latencies(run.acts, which)) for which in LATENCIES},
        "verdicts": [asdict(v) for v in judged(run)],
        "memory": [asdict(g) for g in growths(run)],
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50 to p99 and how many they are of; nothing of nothing."""
    if not values:
        return {}
    found = np.percentile(values, (50, 90, 95, 99))
    return {**{f"p{p}": round(float(v), 1) for p, v in zip((50, 90, 95, 99), found, strict=True)}, "n": len(values)}


def quarters(run: Run, which: str) -> tuple[list[float], list[float]]:
    """Latencies of the first and the last quarter of what comes after warm-up."""
    first, last = (run.between(*span) for span in _quarters(run))
    return latencies(first, which), latencies(last, which)


def machine_slower(run: Run) -> float:
    """How much longer a fixed piece of work took in the last quarter than in the first, whatever the service did."""
    at, ms = run.yardstick_ms
    first, last = (ms[(at >= begin) & (at < end)] for begin, end in _quarters(run))
    return float(np.median(last) / np.median(first)) if len(first) and len(last) else float("nan")


def _quarters(run: Run) -> tuple[tuple[float, float], tuple[float, float]]:
    begin = run.scenario.warm_up_seconds
    quarter = (run.seconds - begin) / 4
    return (begin, begin + quarter), (run.seconds - quarter, run.seconds)


def _errors(run: Run) -> Verdict:
    found = errors(run.acts, overloaded=run.scenario.name == "overload")
    total = sum(found.values())
    return Verdict("errors", total == 0, f"{total} of {len(run.acts):,}", "0")


def _violations(run: Run) -> Verdict:
    """Answers that were given and were wrong."""
    wrong = sum(d.violated for d in run.acts)
    return Verdict("answers against what the owner holds", wrong == 0, f"{wrong} wrong", "0")


def _steady(run: Run) -> list[Verdict]:
    verdicts, machine = [], machine_slower(run)
    for which in LATENCIES:
        first, last = quarters(run, which)
        name, promised = f"{which}: last quarter / first, median", f"at most {SLOWER:.2f}"
        if len(first) < MIN_SAMPLES or len(last) < MIN_SAMPLES:
            verdicts.append(Verdict(name, None, "too few", promised))
            continue
        ratio = float(np.median(last) / np.median(first))
        tail = float(np.percentile(last, 95) / np.percentile(first, 95))
        found = f"{ratio:.2f} (p95: {tail:.2f}; the machine itself: {machine:.2f}; n = {len(first)}, {len(last)})"
        verdicts.append(Verdict(name, ratio <= SLOWER, found, promised))
    return verdicts


def _memory(run: Run) -> list[Verdict]:
    found = growths(run)
    promised = f"each by less than {GROWTH_SHARE:.0%} or {GROWTH_MB:.0f} MB after warm-up"
    if not found:
        return [Verdict("memory of each process", None, "not watched", promised)]
    growing = [f"{g.role} by {g.grown_mb} MB" for g in found if not g.flat]
    text = ", ".join(growing) or f"{len(found)} processes flat"
    return [Verdict("memory of each process", not growing, text, promised)]


def _overload(run: Run) -> list[Verdict]:
    (calm, before), (loud, during), (_, after) = run.stages()
    least = GOODPUT_SHARE * goodput(before, calm.seconds)
    rejected = [d.total_ms for d in during if d.rejected]
    quick = float(np.percentile(rejected, 95)) if rejected else 0.0
    later = [d for d in after if run.at(d) >= calm.seconds + loud.seconds + NORMAL_SECONDS]
    was, then = latencies(before, "time to first token"), latencies(later, "time to first token")
    ratio = float(np.median(then) / np.median(was)) if was and then else float("inf")
    good = goodput(during, loud.seconds)
    return [
        Verdict("goodput under overload, streams/s", good >= least, f"{good:.2f}", f"at least {least:.2f}"),
        Verdict("rejections, p95", quick <= REJECTED_MS, f"{quick:.0f} ms of {len(rejected)}", f"{REJECTED_MS:.0f} ms"),
        Verdict(
            f"time to first token {NORMAL_SECONDS:.0f} s after / before, median",
            ratio <= NORMAL_RATIO,
            f"{ratio:.2f}",
            f"at most {NORMAL_RATIO}",
        ),
    ]
