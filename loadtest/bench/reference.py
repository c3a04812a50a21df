"""The service at 32 clients, against the pipeline that RAP was published with, on the same weights in the same run.

    python -m loadtest.bench.reference --out out/bench

What RAP's released code does for a request, written anew: the detector with the whole database's categories, crops,
their embeddings in groups of six, a flat FAISS index, two neighbours a region, the two nearest pictures of all, and
``generate`` of Hugging Face's transformers; one request after the other. It gets what favours it: the database is one
owner's, everything is loaded and warm, and torch has one thread or all, whichever is faster. The service answers the
same pictures and questions on its own settings, and is ended before the reference runs.
"""

import argparse
import asyncio
import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtest.bench import figures
from loadtest.bench.asked import Album
from loadtest.bench.closed_loop import Window, drive
from loadtest.bench.served import Service, service
from rap_serve.settings import PROJECT_ROOT

CLIENTS = 32
WARM_UP = 8


async def through_the_service(running: Service, options: argparse.Namespace) -> Window:
    """All pictures, asked about by 32 clients."""
    album, user = Album(options.concepts), f"bench-{time.time_ns()}"
    with running.client() as http:
        album.remembered(http, user)

    async def window(count: int, seed: int) -> Window:
        bodies = ((i, p.body(user)) for i, p in enumerate(album.pictures(count, seed=seed)))
        driven = {"concurrency": CLIENTS, "seconds": 600.0, "meter": running.meter()}
        return await drive(running.url, running.key, bodies, **driven)

    await window(WARM_UP, 1)
    return await window(options.pictures, 2)


def reference(options: argparse.Namespace) -> dict[str, Any]:
    """The published pipeline on the first of the same pictures, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        album = Album(options.concepts)
        given = {
            "shown": album.shown,
            "warm_up": album.pictures(2, seed=1),
            "asked": album.pictures(options.pictures, seed=2)[: options.reference_pictures],
        }
        (work / "given.pickle").write_bytes(pickle.dumps(given))
        command = [sys.executable, "-m", "loadtest.bench.reference_pipeline", "--work", folder]
        subprocess.run([*command, "--profile", options.profile], cwd=PROJECT_ROOT, check=True)
        found: dict[str, Any] = json.loads((work / "reference.json").read_text())
    return found


def draw(report: dict[str, Any], folder: Path) -> None:
    """Two bars, and where the reference's time goes."""
    with figures.sheet(folder, "reference") as axes:
        names = ["reference, one at a time", f"service, {CLIENTS} clients"]
        rates = [report["reference"]["requests_per_s"], report["service"]["requests_per_s"]]
        axes.bar_label(axes.barh(names, rates), [f"{r:.2f}" for r in rates])
        axes.set_xlabel("requests a second")


def main() -> None:
    """Parses the command line, measures, writes ``reference.json`` and ``reference.png``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a running service, which then shares the cores with the reference")
    parser.add_argument("--profile", default="local")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--concepts", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--reference-pictures", type=int, default=40, help="of them for the reference")
    options = parser.parse_args()
    ran = {**figures.machine(), **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}}
    with service(options.home) as running:
        served = asyncio.run(through_the_service(running, options)).figures()
    floor = reference(options)
    report = {"ran": ran, "service": served, "reference": floor}
    report["ratio_requests"] = round(served["requests_per_s"] / floor["requests_per_s"], 2)
    report["ratio_tokens"] = round(served["tokens_per_s"] / floor["tokens_per_s"], 2)
    figures.write(options.out, "reference", report)
    draw(report, options.out)
    rows = [
        (name, r["requests"], r["requests_per_s"], r["tokens_per_s"], r["tokens_per_request"])
        for name, r in (("service", served), ("reference", floor))
    ]
    figures.show(
        f"service / reference: {report['ratio_requests']} (requests), {report['ratio_tokens']} (tokens)",
        ("", "requests", "requests/s", "tokens/s", "tokens each"),
        rows,
    )


if __name__ == "__main__":
    main()
