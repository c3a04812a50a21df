"""The service at saturation, against vLLM alone on the prompts that the service had built, in the same run.

    python -m loadtest.bench.engine --out out/bench

First the service: closed loops of more and more clients until throughput rises no more, with pictures it has never
seen ("new") and with a few that it has seen before ("again"). Then it is ended, and vLLM alone gets the final prompts
of what was answered: the same pictures, avatars, questions, sampling and guided decoding, on the same settings, weights
and number of threads, all at once and without HTTP. For new pictures the floor is vLLM, detector and embedder side by
side, each in a process of its own and in full batches, none waiting for another; it ends when the last of them has
ended.

How much guided decoding slows the engine is measured beside it.

That the prompts are the same shows in their number of tokens and in the answers, both compared one by one.
``cpu_ms_per_request`` says which processes the time of the cores went to. ``yardstick_ms`` is how long a fixed piece of
work took meanwhile: where it differs between service and floor, the machine was slower for one of them, and
``ratio_at_one_speed`` is the ratio of requests with that taken out.
"""

import argparse
import asyncio
import itertools
import json
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.bench import figures
from loadtest.bench.asked import Album, Asked
from loadtest.bench.closed_loop import Served, Window, drive
from loadtest.bench.prompts import Prompts
from loadtest.bench.raw_engine import WARM_UP
from loadtest.bench.served import Service, service
from rap_serve.settings import PROJECT_ROOT, Settings

CASES = ("new", "again")
RISE = 1.03
"""By how much throughput has to rise for more clients to be tried."""


class Saturation:
    """Windows of rising concurrency on one service, and the prompts behind the answers of the best."""

    def __init__(self, served_by: Service, options: argparse.Namespace) -> None:
        self._service = served_by
        self._options = options
        self._album = Album(options.concepts)
        self._user = f"bench-{time.time_ns()}"
        with served_by.client() as http:
            self._remembered = self._album.remembered(http, self._user)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """What the service's detector is asked to find."""
        settings = Settings.load(self._options.profile)
        categories = dict.fromkeys(s.category for s in self._album.shown)
        return (*sorted(categories), *settings.detector.fallback_vocabulary)

    async def measure(self, pictures: Sequence[Asked], *, once: bool) -> tuple[list[Window], list[Served]]:
        """A window for each number of clients, and the answers of the best one. ``once``: no picture comes twice."""
        bodies = [(i, p.body(self._user, stream=self._options.stream)) for i, p in enumerate(pictures)]
        stream = iter(bodies) if once else itertools.cycle(bodies)
        if not once:
            await self._window(iter(bodies), 8)
        windows: list[Window] = []
        for concurrency in self._options.concurrency:
            windows.append(await self._window(stream, concurrency))
            if len(windows) > 1 and _rate(windows[-1]) < RISE * _rate(windows[-2]):
                break
        return windows, max(windows, key=_rate).good

    async def requests(self, pictures: Sequence[Asked], answers: Sequence[Served]) -> list[dict[str, Any]]:
        """What the engine was given for these answers."""
        prompts = Prompts(Settings.load(self._options.profile), self._remembered)
        return [await prompts.of(pictures[a.place], a.rap["evidence"]) for a in answers]

    async def _window(self, stream: Any, concurrency: int) -> Window:
        return await drive(
            self._service.url,
            self._service.key,
            stream,
            concurrency=concurrency,
            seconds=self._options.seconds,
            meter=self._service.meter(),
        )


def _rate(window: Window) -> float:
    return len(window.good) / window.seconds


async def through_the_service(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The service's windows and answers; what the raw engine is to be given is left in ``work``."""
    pictures = {"new": Album(options.concepts).pictures(options.pictures, seed=1)}
    pictures["again"] = Album(options.concepts).pictures(options.repeated, seed=2)
    with service(options.home) as running:
        saturation = Saturation(running, options)
        warm_up = Album(options.concepts).pictures(WARM_UP, seed=3)
        _, warm = await saturation.measure(warm_up, once=True)
        given: dict[str, Any] = {"warm_up": await saturation.requests(warm_up, warm)}
        found: dict[str, Any] = {}
        for case in CASES:
            windows, answers = await saturation.measure(pictures[case], once=case == "new")
            given[case] = await saturation.requests(pictures[case], answers)
            found[case] = {"windows": windows, "answers": answers}
    (work / "requests.json").write_text(json.dumps(given))
    seen = [pictures["new"][a.place].pixels for a in found["new"]["answers"]]
    (work / "pictures.pickle").write_bytes(pickle.dumps({"pictures": seen, "vocabulary": saturation.vocabulary}))
    return found


def raw(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """The same by vLLM alone."""
    command = [sys.executable, "-m", "loadtest.bench.raw_engine", "--work", str(work), "--profile", options.profile]
    subprocess.run(command, cwd=PROJECT_ROOT, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, Any] = json.loads((work / "raw.json").read_text())
    return found


def compared(case: str, ours: dict[str, Any], floor: dict[str, Any]) -> dict[str, Any]:
    """One case: the service's best window, the floor, their ratio, and how alike their prompts and answers are."""
    best: Window = max(ours["windows"], key=_rate)
    answers: list[Served] = ours["answers"]
    seconds = floor["all_seconds"] if case == "new" else floor["seconds"]
    requests_per_s, tokens_per_s = floor["requests"] / seconds, floor["completion_tokens"] / seconds
    served = best.figures()
    ratio = served["requests_per_s"] / requests_per_s
    return {
        "service": served,
        "by_concurrency": [w.figures() for w in ours["windows"]],
        "floor": {
            "requests": floor["requests"],
            "requests_per_s": round(requests_per_s, 2),
            "tokens_per_s": round(tokens_per_s, 1),
            "yardstick_ms": round(floor["yardstick_ms"], 2),
            "engine_alone_seconds": round(floor["seconds"], 2),
            "cpu_ms_per_request": {k: round(1_000 * s / floor["requests"], 2) for k, s in floor["cpu_seconds"].items()},
            **{k: round(floor[k], 2) for k in ("detector_seconds", "embedder_seconds", "all_seconds") if k in floor},
        },
        "ratio_requests": round(ratio, 3),
        "ratio_at_one_speed": round(ratio * best.yardstick_ms / floor["yardstick_ms"], 3),
        "ratio_tokens": round(served["tokens_per_s"] / tokens_per_s, 3),
        "same_prompt_tokens": _share(
            a.prompt_tokens == n for a, n in zip(answers, floor["prompt_tokens"], strict=True)
        ),
        "same_answers": _share(a.text.strip() == t for a, t in zip(answers, floor["texts"], strict=True)),
    }


def _share(equal: Any) -> float:
    found = list(equal)
    return round(sum(found) / len(found), 3)


def draw(report: dict[str, Any], folder: Path) -> None:
    """Throughput by number of clients, and the floors."""
    with figures.sheet(folder, "engine") as axes:
        for case, colour in zip(CASES, ("tab:blue", "tab:orange"), strict=True):
            windows = report[case]["by_concurrency"]
            points = [w["concurrency"] for w in windows], [w["requests_per_s"] for w in windows]
            axes.plot(*points, marker="o", color=colour, label=f"service, {case}")
            floor = report[case]["floor"]["requests_per_s"]
            axes.axhline(floor, color=colour, linestyle="--", label=f"raw, {case}")
        axes.set_xscale("log", base=2)
        axes.set_ylim(0)
        axes.set_xlabel("clients")
        axes.set_ylabel("requests a second")
        axes.legend()


def main() -> None:
    """Parses the command line, measures, writes ``engine.json`` and ``engine.png``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a running service, which then shares the cores with the floor")
    parser.add_argument("--profile", default="local")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--concepts", type=int, default=12)
    parser.add_argument("--pictures", type=int, default=600, help="new ones, at most")
    parser.add_argument("--repeated", type=int, default=32, help="that are asked about again and again")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--stream", action="store_true", help="streamed answers; the floor has no use for them")
    parser.add_argument("--seconds", type=float, default=10.0, help="each window")
    options = parser.parse_args()
    ran = {**figures.machine(), **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}}
    with tempfile.TemporaryDirectory() as folder:
        ours = asyncio.run(through_the_service(options, Path(folder)))
        floors = raw(options, Path(folder))
    report: dict[str, Any] = {"ran": ran, **{c: compared(c, ours[c], floors[c]) for c in CASES}}
    report["guided_decoding_slows_the_engine"] = round(
        floors["again"]["seconds"] / floors["again, not guided"]["seconds"], 3
    )
    figures.write(options.out, "engine", report)
    draw(report, options.out)
    rows = [
        (
            case,
            r["service"]["concurrency"],
            *(f"{r[side][what]}" for side in ("service", "floor") for what in ("requests_per_s", "tokens_per_s")),
            r["ratio_requests"],
            r["ratio_tokens"],
            r["ratio_at_one_speed"],
            f"{r['same_prompt_tokens']:.0%}, {r['same_answers']:.0%}",
        )
        for case, r in ((c, report[c]) for c in CASES)
    ]
    columns = (
        "pictures",
        "clients",
        "req/s",
        "tok/s",
        "raw req/s",
        "raw tok/s",
        "req ratio",
        "tok ratio",
        "at one speed",
        "same",
    )
    figures.show("service / raw vLLM", columns, rows)


if __name__ == "__main__":
    main()
