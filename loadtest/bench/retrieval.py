"""What a retrieval costs besides its models: of a new picture, of the same one again, and of an owner nobody asked for.

    python -m loadtest.bench.retrieval --home .rap --concepts 100 --pictures 200

``own``: what the service took less detector and embedder, by its own clocks. ``again``: the whole retrieval of a
picture that the owner has sent before. ``first``: the first retrieval of owners whose libraries no gateway has yet.
``at the client``: the same with HTTP and the decoding of the picture.
"""

import argparse
import json
import time
from pathlib import Path

import httpx
import numpy as np
from tqdm import tqdm

from loadtest import drawn
from loadtest.bench.imports import archive

USERS = 50
CONCEPTS_OF_USERS = 20


class Bench:
    """A client of a running service."""

    def __init__(self, home: Path) -> None:
        service = json.loads((home / "service.json").read_text())
        headers = {"Authorization": f"Bearer {service['api_key']}"}
        self.http = httpx.Client(base_url=service["url"], headers=headers, timeout=120, trust_env=False)

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
        return {**timings, "client": 1_000 * (time.perf_counter() - began), "hit": answer["cache"] == "hit"}


def own(timings: dict[str, float]) -> float:
    """What is neither detector nor embedder."""
    return timings["total"] - timings.get("detect", 0.0) - timings.get("embed", 0.0)


def summary(values: list[float]) -> dict[str, float]:
    """Percentiles."""
    return {f"p{share}": round(float(np.percentile(values, share)), 2) for share in (50, 99)} | {"n": len(values)}


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--concepts", type=int, default=100)
    parser.add_argument("--pictures", type=int, default=200)
    options = parser.parse_args()
    bench, stamp = Bench(options.home), time.time_ns()
    user = f"warm-{stamp}"
    bench.filled(user, options.concepts)
    pictures = [drawn.scene([drawn.thing(n)], stamp % 10_000 + n).data_url for n in range(options.pictures)]
    bench.retrieved(user, drawn.scene([drawn.thing(0)], stamp % 10_000 - 1).data_url)
    new = [bench.retrieved(user, p) for p in tqdm(pictures, desc="new pictures", mininterval=5)]
    again = [bench.retrieved(user, p) for p in tqdm(pictures, desc="the same again", mininterval=5)]
    users = [f"cold-{stamp}-{n}" for n in range(USERS)]
    for name in tqdm(users, desc="users", mininterval=5):
        bench.filled(name, CONCEPTS_OF_USERS)
    first = [bench.retrieved(name, pictures[n % len(pictures)]) for n, name in enumerate(users)]
    for name in (user, *users):
        bench.http.delete(f"/v1/users/{name}").raise_for_status()
    figures = {
        "concepts": options.concepts,
        "own_ms": summary([own(t) for t in new]),
        "models_ms": summary([t["total"] - own(t) for t in new]),
        "again_ms": summary([t["total"] for t in again]),
        "again_hits": sum(t["hit"] for t in again),
        "again_at_the_client_ms": summary([t["client"] for t in again]),
        "first_ms": summary([t["total"] for t in first]),
        "first_own_ms": summary([own(t) for t in first]),
        "first_at_the_client_ms": summary([t["client"] for t in first]),
    }
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
