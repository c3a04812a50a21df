"""What batches bring: the raw detector and embedder by batch size, with one vocabulary and with many, and by wait.

    python -m loadtest.bench.batching --out batching.json

``curves``: seconds of processor time of a forward pass over prepared items, on one thread, the sizes in turn: what else
the machine does hardly matters. ``vocabularies``: the detector's throughput where each picture of a batch has words of
its own, as tenants have, against the same batches with the words of one. ``waits``: a queue in front of a model with
the measured curve, at a share of what the model can do. As Ray Serve gathers batches, calls that come while one is
computed form batches of their own, which wait their turn; ``when free`` takes all that wait as soon as the model is
free, as the service does where there is a core for each. The queue is computed, the curve is measured.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from loadtest import drawn
from rap_serve.adapters.open_clip import Crops, OpenClipEmbedder
from rap_serve.adapters.yolo_world import Prepared, YoloWorldDetector
from rap_serve.settings import DetectorSettings, EmbedderSettings, Settings, model_path
from training.world.things import CATEGORIES

SIZES = (1, 2, 4, 8, 16)
ROUNDS = 30
WORDS = 6
LOADS = (0.2, 0.5, 0.8, 0.95)
WAITS_MS = (0, 2, 10, 50)
ARRIVALS = 20_000


def seconds_of(forwards: dict[int, Callable[[], object]], rounds: int) -> dict[int, float]:
    """The median of each, taken in turn."""
    taken: dict[int, list[float]] = {size: [] for size in forwards}
    for _ in range(rounds):
        for size, forward in forwards.items():
            began = time.process_time()
            forward()
            taken[size].append(time.process_time() - began)
    return {size: median(times) for size, times in taken.items()}


def embedder_curve(settings: EmbedderSettings, rounds: int) -> dict[int, float]:
    """Seconds by crops in a batch."""
    embedder = OpenClipEmbedder.load(model_path(settings.model), threads=1)
    crops = [embedder.preprocess(s.image, [_box(s)]) for s in map(_scene, range(max(SIZES)))]
    batches = {size: Crops.joined(crops[:size]) for size in SIZES}
    return seconds_of({size: lambda b=batch: embedder.forward(b) for size, batch in batches.items()}, rounds)


def detector_of(settings: DetectorSettings) -> YoloWorldDetector:
    """As it is served, on one thread."""
    encoder = OpenClipEmbedder.load(model_path(settings.text_encoder), threads=1)
    return YoloWorldDetector.load(
        model_path(settings.weights),
        text_encoder=encoder,
        image_size=settings.image_size,
        confidence=settings.confidence,
        iou=settings.iou,
    )


def prepared(detector: YoloWorldDetector, counts: Sequence[int], *, mixed: bool) -> list[Prepared]:
    """Pictures with so many words, each with words of its own or all with the same."""
    found = []
    for n, count in enumerate(counts):
        rng = np.random.default_rng(n if mixed else 0)
        words = tuple(str(w) for w in rng.choice(list(CATEGORIES), count, replace=False))
        found.append(detector.preprocess(_scene(n).image, words))
    return found


def vocabularies(detector: YoloWorldDetector, size: int, rounds: int) -> dict[str, float]:
    """Pictures a second with one vocabulary and with one each, in turn. ``uneven``: of 2 to 10 words each."""
    even, uneven = [WORDS] * size, [2 + 8 * n // (size - 1) for n in range(size)]
    one = prepared(detector, even, mixed=False)
    many, unlike = (prepared(detector, counts, mixed=True) for counts in (even, uneven))
    batches = dict(enumerate((one, many, unlike)))
    taken = seconds_of({n: lambda b=batch: detector.forward(b) for n, batch in batches.items()}, rounds)
    return {
        "size": size,
        "one_per_s": round(size / taken[0], 1),
        "mixed_of_one": round(taken[0] / taken[1], 3),
        "uneven_of_one": round(taken[0] / taken[2], 3),
    }


def queue(curve: dict[int, float], *, load: float, wait_ms: float | None) -> dict[str, float]:
    """Latencies of calls of one item each, which come as they please. ``wait_ms``: None for when free."""
    sizes = np.array(sorted(curve))
    seconds = np.interp(np.arange(max(sizes) + 1), sizes, [curve[s] for s in sizes])
    rate = load * max(s / curve[s] for s in curve)
    arrivals = np.cumsum(np.random.default_rng(0).exponential(1 / rate, ARRIVALS))
    latencies, batches = _gathered(arrivals, seconds, None if wait_ms is None else wait_ms / 1_000)
    p50, p99 = np.percentile(latencies, [50, 99]) * 1_000
    return {
        "load": load,
        "p50_ms": round(float(p50), 1),
        "p99_ms": round(float(p99), 1),
        "mean_size": round(ARRIVALS / batches, 1),
    }


def _gathered(arrivals: Sequence[float], seconds: Sequence[float], wait: float | None) -> tuple[list[float], int]:
    """The latency of each call, and how many batches there were."""
    latencies: list[float] = []
    first, batches, most, gathered, free = 0, 0, len(seconds) - 1, 0.0, 0.0
    while first < len(arrivals):
        began = max(arrivals[first], gathered)
        end = max(began, free) if wait is None else began + wait
        last = first + 1
        while last < len(arrivals) and arrivals[last] <= end and last - first < most:
            last += 1
        gathered = max(began, arrivals[last - 1]) if last - first == most else end
        free = max(gathered, free) + seconds[last - first]
        latencies += [free - arrival for arrival in arrivals[first:last]]
        first, batches = last, batches + 1
    return latencies, batches


def _scene(seed: int) -> drawn.Drawn:
    return drawn.scene([drawn.thing(seed)], seed)


def _box(scene: drawn.Drawn) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = scene.boxes[0]
    return (x0, y0, x1, y1)


def _shown(figures: dict[str, object], curves: dict[str, dict[int, float]]) -> None:
    console = Console()
    table = Table("model", *(f"{size}" for size in SIZES), title="ms an item, by batch size")
    for name, curve in curves.items():
        table.add_row(name, *(f"{curve[s] / s * 1e3:.2f}" for s in SIZES))
    console.print(table)
    console.print(figures["vocabularies"])
    for name, rows in dict(figures["waits"]).items():  # type: ignore[call-overload]
        table = Table("wait", "load", "p50 ms", "p99 ms", "mean size", title=f"{name}: a computed queue")
        for row in rows:
            table.add_row(*(str(row[k]) for k in ("wait", "load", "p50_ms", "p99_ms", "mean_size")))
        console.print(table)


def main() -> None:
    """Parses the command line, prints tables, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=Path("batching.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings.load("local")
    detector = detector_of(settings.detector)
    pictures = prepared(detector, [WORDS] * max(SIZES), mixed=True)
    curves = {
        "embedder": embedder_curve(settings.embedder, options.rounds),
        "detector": seconds_of({s: lambda n=s: detector.forward(pictures[:n]) for s in SIZES}, options.rounds),
    }
    policies = [("when free", None), *((f"{ms} ms", float(ms)) for ms in WAITS_MS)]
    waits = {
        name: [{"wait": said, **queue(curve, load=load, wait_ms=ms)} for load in LOADS for said, ms in policies]
        for name, curve in curves.items()
    }
    mixed = [vocabularies(detector, size, options.rounds) for size in (4, 8)]
    figures: dict[str, object] = {"rounds": options.rounds, "curves": curves, "vocabularies": mixed, "waits": waits}
    _shown(figures, curves)
    options.out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
