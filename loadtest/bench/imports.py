"""An archive of many concepts through the service, against the embedder alone on the same pictures, in the same run.

    python -m loadtest.bench.imports --home .rap --concepts 5000
    python -m loadtest.bench.imports --home .rap --concepts 1000 --kill 2

The floor is what the embedder needs for the crops, in batches as large as it is served with, on one thread and with
nothing else. Every concept comes with a box and an info, so that neither detector nor MLLM has a part in it.
``--kill`` ends the gateway (kill -9) so many times on the way; ``missing`` and ``twice`` say what came of that.
"""

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from loadtest import drawn
from loadtest.outages import kill_of
from rap_serve.adapters.open_clip import Crops, OpenClipEmbedder
from rap_serve.adapters.zip_packs import zipped
from rap_serve.domain.pack import head_line
from rap_serve.settings import Settings, model_path

DISTINCT = 100
"""Pictures that are drawn; each concept has one of them, cut out elsewhere."""


def archive(count: int) -> tuple[bytes, list[tuple[np.ndarray, list[float]]]]:
    """The archive, and each concept's pixels and box."""
    scenes = [drawn.scene([drawn.thing(n)], n) for n in range(min(count, DISTINCT))]
    files = [(f"p{n}.jpg", drawn.jpeg(scene.image)) for n, scene in enumerate(scenes)]
    lines, crops = [head_line()], []
    for n in range(count):
        place, shift = n % len(scenes), float(n // len(scenes))
        x0, y0, x1, y1 = scenes[place].boxes[0]
        box = [x0, y0, max(x0 + 8, x1 - shift), max(y0 + 8, y1 - shift)]
        avatar = {"picture": files[place][0], "box_xyxy": box}
        lines.append(json.dumps({"name": f"thing-{n}", "info": f"Thing {n}.", "avatars": [avatar]}))
        crops.append((scenes[place].image, box))
    return zipped(lines, files), crops


def floor(crops: list[tuple[np.ndarray, list[float]]]) -> float:
    """Crops a second of the embedder alone."""
    settings = Settings.load("local").embedder
    embedder = OpenClipEmbedder.load(model_path(settings.model), threads=settings.threads or 1)
    size = settings.batch.max_size
    began = time.perf_counter()
    for start in range(0, len(crops), size):
        prepared = [embedder.preprocess(image, [tuple(box)]) for image, box in crops[start : start + size]]
        embedder.forward(Crops.joined(prepared))
    return len(crops) / (time.perf_counter() - began)


def through_the_service(home: Path, data: bytes, count: int, *, kills: int) -> dict[str, object]:
    """The import, followed to its end, and what is in memory then."""
    service = json.loads((home / "service.json").read_text())
    headers = {"Authorization": f"Bearer {service['api_key']}"}
    user = f"import-{time.time_ns()}"
    with httpx.Client(base_url=service["url"], headers=headers, timeout=300, trust_env=False) as http:
        began = time.perf_counter()
        path = f"/v1/users/{user}/concepts:import"
        started = http.post(path, content=data, headers={"Content-Type": "application/zip"}).raise_for_status()
        job = followed(http, started.headers["location"], home, [count * (n + 1) // (kills + 1) for n in range(kills)])
        seconds = time.perf_counter() - began
        names = Counter(listed(http, user))
        began = time.perf_counter()
        erased = http.delete(f"/v1/users/{user}").raise_for_status()
        followed(http, erased.headers["location"], home, [])
        purged = time.perf_counter() - began
    return {
        "seconds": round(seconds, 1),
        "state": job["state"],
        **{outcome: job["result"][outcome] for outcome in ("added", "unchanged", "failed")},
        "kills": kills,
        "missing": count - len(names),
        "twice": sum(names.values()) - len(names),
        "erased_seconds": round(purged, 1),
    }


def followed(http: httpx.Client, path: str, home: Path, kills_at: list[int]) -> dict[str, Any]:
    """The job once it has ended; whenever so much of it is done, the gateway is killed."""
    left = list(kills_at)
    while True:
        time.sleep(0.2)
        try:
            answer = http.get(path)
        except httpx.TransportError:
            continue  # the gateway is being started again
        if answer.status_code >= 500:
            continue
        job: dict[str, Any] = answer.raise_for_status().json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        if left and job["done"] >= left[0]:
            left.pop(0)
            asyncio.run(kill_of(home, "gateway")["kill"](random.Random()))


def listed(http: httpx.Client, user: str) -> Iterator[str]:
    """The names of all of a user's concepts."""
    after = None
    while True:
        params = {"limit": 100, **({"after": after} if after else {})}
        page = http.get(f"/v1/users/{user}/concepts", params=params).raise_for_status().json()
        yield from (concept["name"] for concept in page["data"])
        if not page["has_more"]:
            return
        after = page["last_id"]


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--concepts", type=int, default=5_000)
    parser.add_argument("--kill", type=int, default=0, help="how often the gateway dies on the way")
    options = parser.parse_args()
    data, crops = archive(options.concepts)
    raw = floor(crops)
    done = through_the_service(options.home, data, options.concepts, kills=options.kill)
    rate = options.concepts / float(str(done["seconds"]))
    figures = {"concepts": options.concepts, "archive_bytes": len(data), "embedder_alone_per_s": round(raw, 1)}
    print(json.dumps({**figures, **done, "import_per_s": round(rate, 1), "of_the_floor": round(rate / raw, 3)}))


if __name__ == "__main__":
    main()
