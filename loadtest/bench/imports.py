"""An archive of many concepts through the service, against the embedder alone on the same pictures, in the same run.

    python -m loadtest.bench.imports --home .rap --concepts 5000

The floor is what the embedder needs for the crops, in batches as large as it is served with, on one thread and with
nothing else. Every concept comes with a box and an info, so that neither detector nor MLLM has a part in it.
"""

import argparse
import json
import time
from pathlib import Path

import httpx
import numpy as np

from loadtest import drawn
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


def through_the_service(home: Path, data: bytes) -> dict[str, object]:
    """The import, followed to its end."""
    service = json.loads((home / "service.json").read_text())
    headers = {"Authorization": f"Bearer {service['api_key']}"}
    user = f"import-{time.time_ns()}"
    with httpx.Client(base_url=service["url"], headers=headers, timeout=300, trust_env=False) as http:
        began = time.perf_counter()
        path = f"/v1/users/{user}/concepts:import"
        started = http.post(path, content=data, headers={"Content-Type": "application/zip"}).raise_for_status()
        while True:
            job = http.get(started.headers["location"]).raise_for_status().json()
            if job["state"] in ("done", "failed", "cancelled"):
                break
            time.sleep(0.2)
        seconds = time.perf_counter() - began
        http.delete(f"/v1/users/{user}").raise_for_status()
    return {"seconds": round(seconds, 1), "state": job["state"], **{k: job["result"][k] for k in ("added", "failed")}}


def main() -> None:
    """Parses the command line and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".rap"))
    parser.add_argument("--concepts", type=int, default=5_000)
    options = parser.parse_args()
    data, crops = archive(options.concepts)
    raw = floor(crops)
    done = through_the_service(options.home, data)
    rate = options.concepts / float(str(done["seconds"]))
    figures = {"concepts": options.concepts, "archive_bytes": len(data), "embedder_alone_per_s": round(raw, 1)}
    print(json.dumps({**figures, **done, "import_per_s": round(rate, 1), "of_the_floor": round(rate / raw, 3)}))


if __name__ == "__main__":
    main()
