"""What happens at three times what the service can answer, and after it?

    python -m loadtest.bench.overload --home .rap --times 3 --seconds 120 --out overload

What it can answer per second is found first (closed loop, more and more at once). Then, in open loop: a while at 0.8 of
it, ``--seconds`` at ``--times`` of it, a while at 0.8 again. An answer counts (goodput) if it is whole within
``--within`` times the median of the first phase. Writes OUT.json and OUT.png, and prints a table.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from rich.console import Console
from rich.table import Table

from loadtest.bench.arrivals import Answered, Client, Service, clients, closed, opened, percentiles_ms

matplotlib.use("Agg")
from matplotlib import pyplot as plt

WARM_SECONDS = 8.0
STEPS = (4, 8, 16, 24, 32, 48)
BEFORE = 0.8
REFUSALS = (429, 503)


@dataclass(frozen=True)
class Phase:
    """Requests that came between two moments."""

    name: str
    began: float
    ended: float
    answers: list[Answered]

    def goodput(self, limit_seconds: float) -> float:
        """Whole answers in time, per second of the phase's own arrivals."""
        return sum(good(a, limit_seconds) for a in self.answers) / (self.ended - self.began)

    def figures(self, limit_seconds: float) -> dict[str, Any]:
        """What a row of the table says."""
        refused = [a for a in self.answers if a.status in REFUSALS]
        return {
            "asked_per_second": round(len(self.answers) / (self.ended - self.began), 2),
            "goodput_per_second": round(self.goodput(limit_seconds), 2),
            "answered_ms": percentiles_ms(a.seconds for a in self.answers if a.status == 200),
            "refused_ms": percentiles_ms(a.seconds for a in refused),
            "refused_without_retry_after": sum(a.retry_after is None for a in refused),
            "retry_after_seconds": dict(sorted(Counter(str(a.retry_after) for a in refused).items())),
            "answers": {str(s): n for s, n in sorted(Counter(a.status for a in self.answers).items())},
        }


def good(answer: Answered, limit_seconds: float) -> bool:
    """Whole and in time."""
    return answer.status == 200 and answer.seconds <= limit_seconds


async def saturation(who: list[Client], seconds: float) -> dict[int, float]:
    """Answers per second by how many ask at once."""
    await closed(who, at_once=STEPS[0], seconds=WARM_SECONDS)
    found = {}
    for at_once in STEPS:
        began = time.monotonic()
        answers = await closed(who, at_once=at_once, seconds=seconds)
        found[at_once] = sum(a.status == 200 for a in answers) / (time.monotonic() - began)
    return found


async def phase(name: str, who: list[Client], rate: float, seconds: float) -> "asyncio.Task[Phase]":
    """So many per second for a while; returns when the last has been sent, the phase following when all is answered."""
    began = time.monotonic()
    task = asyncio.create_task(opened([(c, rate / len(who)) for c in who], seconds=seconds, seed=len(name)))
    await asyncio.sleep(seconds)
    ended = time.monotonic()

    async def whole() -> Phase:
        return Phase(name, began, ended, await task)

    return asyncio.create_task(whole())


async def measured(options: argparse.Namespace) -> tuple[dict[str, Any], list[Phase], float]:
    """The figures, the phases, and within how many seconds an answer counts."""
    stamp = time.time_ns()
    who = await clients(Service.of(options.home), [f"t{n}-{stamp}" for n in range(options.tenants)], options.tokens)
    steps = await saturation(who, options.step_seconds)
    peak = max(steps.values())
    rates = (
        ("before", BEFORE, options.around),
        ("overload", options.times, options.seconds),
        ("after", BEFORE, options.around),
    )
    tasks = [await phase(name, who, times * peak, seconds) for name, times, seconds in rates]
    phases = [await task for task in tasks]
    before, overload, after = phases
    usual = float(np.median([a.seconds for a in before.answers if a.status == 200]))
    limit = options.within * usual
    late = [a.sent - after.began for a in after.answers if not good(a, limit)]
    figures = {
        "tenants": options.tenants,
        "answered_per_second_by_clients": {str(n): round(rate, 2) for n, rate in steps.items()},
        "peak_per_second": round(peak, 2),
        "times": options.times,
        "in_time_seconds": round(limit, 2),
        "phases": {p.name: p.figures(limit) for p in phases},
        "goodput_over_peak": round(overload.goodput(limit) / peak, 3),
        "seconds_until_normal": round(max(late, default=0.0), 1),
    }
    return figures, phases, limit


def table(figures: dict[str, Any]) -> Table:
    """What there is to see at a glance."""
    shown = Table("phase", "asked/s", "in time/s", "answered p50/p99 ms", "refused p50/p99 ms", "answers")
    for name, found in figures["phases"].items():
        answered, refused = (
            f"{found[k].get('p50', 0):.0f} / {found[k].get('p99', 0):.0f}" for k in ("answered_ms", "refused_ms")
        )
        rates = (f"{found['asked_per_second']:.1f}", f"{found['goodput_per_second']:.1f}")
        shown.add_row(name, *rates, answered, refused, str(found["answers"]))
    return shown


def plot(phases: list[Phase], limit: float, peak: float, path: Path) -> None:
    """Per second: what was asked for, answered in time and refused; and how long each took."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, layout="constrained")
    answers, start = [a for p in phases for a in p.answers], phases[0].began
    bins = np.arange(0, phases[-1].ended - start + 1, 1.0)
    kinds = {
        "asked": [a.sent for a in answers],
        "answered in time": [a.done for a in answers if good(a, limit)],
        "refused": [a.done for a in answers if a.status in REFUSALS],
    }
    for name, moments in kinds.items():
        upper.stairs(np.histogram(np.array(moments) - start, bins)[0], bins, label=name)
    upper.axhline(peak, color="grey", linestyle=":", label="most that was answered in closed loop")
    upper.set(ylabel="requests per second", ylim=(0, None))
    for name, statuses in (("answered", (200,)), ("refused", REFUSALS)):
        chosen = [a for a in answers if a.status in statuses]
        lower.plot([a.sent - start for a in chosen], [a.seconds for a in chosen], ".", markersize=2, label=name)
    lower.set(xlabel="seconds", ylabel="seconds to the end", yscale="log")
    for axes in (upper, lower):
        axes.legend(loc="upper right")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Parses the command line, measures, prints a table, writes JSON and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--tenants", type=int, default=4)
    parser.add_argument("--times", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--around", type=float, default=30.0, help="seconds before and after")
    parser.add_argument("--step-seconds", type=float, default=8.0)
    parser.add_argument("--within", type=float, default=2.0)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--out", type=Path, default=Path("overload"))
    options = parser.parse_args()
    figures, phases, limit = asyncio.run(measured(options))
    options.out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    plot(phases, limit, figures["peak_per_second"], options.out.with_suffix(".png"))
    console = Console()
    console.print_json(json.dumps(figures))
    console.print(table(figures))


if __name__ == "__main__":
    main()
