"""What a retrieval costs besides its models: of a new picture, of the same one again, and of an owner nobody asked for.

    python -m loadtest.bench.retrieval --home .rap --concepts 100 --pictures 200 --out out/bench

``own``: what the service took less detector and embedder, by its own clocks. ``again``: the whole retrieval of a
picture that the owner has sent before. ``first``: the first retrieval of owners whose libraries no gateway has yet.
``at the client``: the same with HTTP and the decoding of the picture.

``raw``: detector, embedder and a numpy search in this process, on the same pictures and an equal library. Each picture
goes through the service and through the raw parts one right after the other, so that both meet the same machine.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from tqdm import tqdm

from loadtest import drawn
from loadtest.bench import figures
from loadtest.bench.imports import archive
from loadtest.bench.raw_retrieval import Parts, RawRetrieval
from loadtest.bench.served import service
from rap_serve.settings import Settings

USERS = 50
CONCEPTS_OF_USERS = 20
WARM_UP = 5
RAW_PARTS = ("preparing", "detector", "embedder", "search")


class Bench:
    """A client of a running service."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def filled(self, user: str, concepts: int) -> None:
        """A user with so many concepts."""
        data, _ = archive(concepts)
        headers = {"Content-Type": "application/zip"}
        path = self.http.post(f"/v1/users/{user}/concepts:import", content=data, headers=headers).headers["location"]
        while self.http.get(path).raise_for_status().json()["state"] in ("queued", "running"):
            time.sleep(0.1)

    def retrieved(self, user: str, picture: str) -> dict[str, float]:
        """Milliseconds of one retrieval: the service's clocks, and the client's as ``client``."""
        began = time.perf_counter()
        answer = self.http.post(f"/v1/users/{user}/retrieve", json={"image": picture}).raise_for_status().json()
        timings: dict[str, float] = answer["timings_ms"]
        took = 1_000 * (time.perf_counter() - began)
        return {**timings, "client": took, "hit": answer["cache"] == "hit", "regions": len(answer["regions"])}


def own(timings: dict[str, float]) -> float:
    """What is neither detector nor embedder."""
    return timings["total"] - timings.get("detect", 0.0) - timings.get("embed", 0.0)


def summary(values: list[float]) -> dict[str, float]:
    """Percentiles."""
    return {f"p{share}": round(float(np.percentile(values, share)), 2) for share in (50, 99)} | {"n": len(values)}


def measured(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    stamp = time.time_ns()
    user = f"warm-{stamp}"
    bench.filled(user, options.concepts)
    raw = RawRetrieval(Settings.load(options.profile), archive(options.concepts)[1])
    scenes = [drawn.scene([drawn.thing(n)], stamp % 10_000 + n) for n in range(WARM_UP + options.pictures)]
    pictures = [s.data_url for s in scenes]
    new: list[dict[str, float]] = []
    parts: list[Parts] = []
    for scene, picture in tqdm(list(zip(scenes, pictures, strict=True)), desc="new pictures", mininterval=5):
        new.append(bench.retrieved(user, picture))
        parts.append(raw(scene.image))
    new, parts = new[WARM_UP:], parts[WARM_UP:]
    again = [bench.retrieved(user, p) for p in tqdm(pictures[WARM_UP:], desc="the same again", mininterval=5)]
    users = [f"cold-{stamp}-{n}" for n in range(options.users)]
    for name in tqdm(users, desc="users", mininterval=5):
        bench.filled(name, CONCEPTS_OF_USERS)
    first = [bench.retrieved(name, pictures[n % len(pictures)]) for n, name in enumerate(users)]
    for name in (user, *users):
        bench.http.delete(f"/v1/users/{name}").raise_for_status()
    return {
        "concepts": options.concepts,
        "own_ms": summary([own(t) for t in new]),
        "models_ms": summary([t["total"] - own(t) for t in new]),
        "new_ms": summary([t["total"] for t in new]),
        "new_at_the_client_ms": summary([t["client"] for t in new]),
        "raw_ms": summary([p.total for p in parts]),
        "raw_forwards_ms": summary([p.forwards for p in parts]),
        "raw_parts_ms": {k: summary([asdict(p)[k] for p in parts]) for k in RAW_PARTS},
        "same_regions": sum(t["regions"] == p.regions for t, p in zip(new, parts, strict=True)),
        "again_ms": summary([t["total"] for t in again]),
        "again_hits": sum(t["hit"] for t in again),
        "again_at_the_client_ms": summary([t["client"] for t in again]),
        "first_ms": summary([t["total"] for t in first]) if first else {},
        "first_own_ms": summary([own(t) for t in first]) if first else {},
        "first_at_the_client_ms": summary([t["client"] for t in first]) if first else {},
    }  # fmt: skip


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """Medians against medians of the same pictures."""
    pairs = {
        "new / raw parts": ("new_ms", "raw_ms"),
        "new / raw forwards": ("new_ms", "raw_forwards_ms"),
        "new at the client / raw parts": ("new_at_the_client_ms", "raw_ms"),
        "again / new": ("again_ms", "new_ms"),
        "again / new, at the client": ("again_at_the_client_ms", "new_at_the_client_ms"),
    }
    return {name: round(found[over]["p50"] / found[under]["p50"], 3) for name, (over, under) in pairs.items()}


def draw(found: dict[str, Any], folder: Path) -> None:
    """Medians beside each other, the raw parts stacked."""
    with figures.sheet(folder, "retrieval") as axes:
        left = 0.0
        for part, times in found["raw_parts_ms"].items():
            axes.barh("raw parts", times["p50"], left=left, label=f"raw: {part}")
            left += times["p50"]
        names = {"new_ms": "new", "new_at_the_client_ms": "new, at the client", "again_ms": "again",
                 "again_at_the_client_ms": "again, at the client"}  # fmt: skip
        bars = axes.barh(list(names.values()), [found[k]["p50"] for k in names], color="tab:grey")
        axes.bar_label(bars, fmt="%.1f")
        axes.set_xlabel("median milliseconds")
        axes.legend(fontsize=8)


def main() -> None:
    """Parses the command line, measures, writes ``retrieval.json`` and ``retrieval.png``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a running service; without it one is started")
    parser.add_argument("--profile", default="local", help="of the raw parts")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--concepts", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--users", type=int, default=USERS, help="whose first retrieval is measured")
    options = parser.parse_args()
    ran = {**figures.machine(), **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}}
    with service(options.home) as running, running.client() as http:
        found = measured(Bench(http), options)
    report = {"ran": ran, **found, "ratios_of_medians": ratios(found)}
    figures.write(options.out, "retrieval", report)
    draw(found, options.out)
    rows = [(k, v["p50"], v["p99"], v["n"]) for k, v in found.items() if isinstance(v, dict) and "p50" in v]
    figures.show("milliseconds", ("what", "p50", "p99", "n"), rows)
    figures.show("ratios of medians", ("what", "ratio"), list(report["ratios_of_medians"].items()))


if __name__ == "__main__":
    main()
