"""Does a tenant at ten times its share slow down anybody but itself?

    python -m loadtest.bench.fairness --home .rap --quiet 8 --noise 10 --seconds 40 --rounds 3 --out fairness

What the service can answer per second is found first (closed loop); a share is that over all tenants. Quiet tenants
then ask at ``--load`` of their share each, by themselves and beside the noisy one, in turns, so that what else happens
on the machine meets both. Writes OUT.json and OUT.png, and prints a table.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from loadtest.bench.arrivals import Answered, Service, clients, closed, opened, percentiles_ms

matplotlib.use("Agg")
from matplotlib import pyplot as plt

WARM_SECONDS = 8.0


async def measured(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The figures, and the quiet tenants' latencies with and without noise."""
    stamp = time.time_ns()
    names = [f"quiet-{stamp}-{n}" for n in range(options.quiet)]
    *quiet, noisy = await clients(Service.of(options.home), [*names, f"noisy-{stamp}"], options.tokens)
    await closed(quiet, at_once=options.clients, seconds=WARM_SECONDS)
    began = time.monotonic()
    full = await closed(quiet, at_once=options.clients, seconds=options.seconds / 2)
    saturation = sum(a.status == 200 for a in full) / (time.monotonic() - began)
    share = saturation / (options.quiet + 1)
    alone: list[Answered] = []
    beside: list[Answered] = []
    usual = [(client, options.load * share) for client in quiet]
    for turn in tqdm(range(options.rounds), desc="rounds"):
        alone += await opened(usual, seconds=options.seconds, seed=2 * turn)
        beside += await opened([*usual, (noisy, options.noise * share)], seconds=options.seconds, seed=2 * turn + 1)
    of_quiet = [a for a in beside if a.tenant != noisy.tenant]
    of_noisy = [a for a in beside if a.tenant == noisy.tenant]
    latencies = {
        "alone": [a.seconds for a in alone if a.status == 200],
        "beside the noisy one": [a.seconds for a in of_quiet if a.status == 200],
    }
    figures = {
        "saturation_per_second": round(saturation, 2),
        "share_per_second": round(share, 2),
        "quiet_tenants": options.quiet,
        "load": options.load,
        "noise": options.noise,
        "alone_ms": percentiles_ms(latencies["alone"]),
        "beside_ms": percentiles_ms(latencies["beside the noisy one"]),
        "p50_ratio": _ratio(latencies, 50),
        "p99_ratio": _ratio(latencies, 99),
        "answers": {"alone": _by_status(alone), "beside": _by_status(of_quiet), "noisy": _by_status(of_noisy)},
        "noisy_ms": percentiles_ms(a.seconds for a in of_noisy if a.status == 200),
        "noisy_refused_ms": percentiles_ms(a.seconds for a in of_noisy if a.status in (429, 503)),
        "noisy_served_over_share": round(
            sum(a.status == 200 for a in of_noisy) / (share * options.seconds * options.rounds), 2
        ),
    }
    return figures, latencies


def _ratio(latencies: dict[str, list[float]], percentile: int) -> float:
    alone, beside = (percentiles_ms(latencies[k])[f"p{percentile}"] for k in ("alone", "beside the noisy one"))
    return round(beside / alone, 2)


def _by_status(answers: list[Answered]) -> dict[str, int]:
    return {str(status): n for status, n in sorted(Counter(a.status for a in answers).items())}


def table(figures: dict[str, Any]) -> Table:
    """What there is to see at a glance."""
    shown = Table("the quiet tenants", "p50 ms", "p90 ms", "p99 ms", "n", "answers")
    for name, key, answers in (("alone", "alone_ms", "alone"), ("beside the noisy one", "beside_ms", "beside")):
        found = figures[key]
        row = [*(f"{found[p]:.0f}" for p in ("p50", "p90", "p99")), str(found["n"])]
        shown.add_row(name, *row, str(figures["answers"][answers]))
    shown.add_row("ratio", str(figures["p50_ratio"]), "", str(figures["p99_ratio"]), "", "")
    return shown


def plot(latencies: dict[str, list[float]], path: Path) -> None:
    """How many of the quiet tenants' requests were answered within which time."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, seconds in latencies.items():
        axes.ecdf(seconds, label=f"quiet tenants {name}")
    axes.set(xlabel="seconds to the whole answer", ylabel="share of requests")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Parses the command line, measures, prints a table, writes JSON and a picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--quiet", type=int, default=8)
    parser.add_argument("--load", type=float, default=0.7, help="of its share that a quiet tenant asks for")
    parser.add_argument("--noise", type=float, default=10.0, help="times its share that the noisy one asks for")
    parser.add_argument("--clients", type=int, default=24, help="at once, to find what the service can answer")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("fairness"))
    options = parser.parse_args()
    figures, latencies = asyncio.run(measured(options))
    options.out.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
    plot(latencies, options.out.with_suffix(".png"))
    console = Console()
    console.print_json(json.dumps(figures))
    console.print(table(figures))


if __name__ == "__main__":
    main()
