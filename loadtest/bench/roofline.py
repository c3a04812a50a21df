"""Detector and embedder by themselves against what the device can do: what share of its speed they use.

    python -m loadtest.bench.roofline --out out/bench                                   # a GPU where there is one
    python -m loadtest.bench.roofline --detector yolov8s-worldv2 --side 64 --embedder ViT-S-32-alt --batches 1 2

The networks are those of production, with weights drawn at random: speed does not depend on what a network has learned.
What the device can do is measured too, not looked up: a large matrix product for its arithmetic, a large copy for its
bandwidth, both in the precision of the networks. A forward can be no faster than its multiplications at that rate,
nor than its weights and pictures at that bandwidth; the larger of the two times is its roofline.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch.utils.flop_counter import FlopCounterMode
from ultralytics.nn.tasks import WorldModel

from loadtest.bench import figures

WORDS = 80
"""Of the detector's vocabulary, as many as COCO has."""

TEXT_DIM = 512


@dataclass(frozen=True, slots=True)
class Device:
    """Where the networks run. ``flops_per_s`` and ``bytes_per_s``: what it reaches."""

    kind: str
    name: str
    numbers: torch.dtype
    flops_per_s: float
    bytes_per_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """A forward of one argument, the number of pictures, and the bytes of its weights."""

    name: str
    forward: Callable[[int], Callable[[], object]]
    weight_bytes: int
    picture_bytes: int


def seconds_of(call: Callable[[], object], kind: str, repeats: int) -> float:
    """The median of some runs, after one that is not counted."""
    taken = []
    for _ in range(repeats + 1):
        _wait(kind)
        began = time.perf_counter()
        call()
        _wait(kind)
        taken.append(time.perf_counter() - began)
    return sorted(taken[1:])[repeats // 2]


def _wait(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()


def measured_device(kind: str, size: int, repeats: int) -> Device:
    """``size``: of the square matrices that are multiplied, and of the copied ones."""
    numbers = torch.float16 if kind == "cuda" else torch.float32
    left, right = (torch.randn(size, size, device=kind, dtype=numbers) for _ in range(2))
    product = seconds_of(lambda: left @ right, kind, repeats)
    copied = torch.empty_like(left)
    copy = seconds_of(lambda: copied.copy_(left), kind, repeats)
    name = torch.cuda.get_device_name() if kind == "cuda" else f"{torch.get_num_threads()} threads"
    moved = 2 * left.numel() * left.element_size()
    return Device(kind, name, numbers, 2 * size**3 / product, moved / copy)


def detector(architecture: str, side: int, device: Device) -> Network:
    """A YOLO-World network at that size of picture."""
    network = WorldModel(f"{architecture}.yaml", nc=WORDS, verbose=False).eval().fuse(verbose=False)
    network.to(device.kind, device.numbers)
    network.model[-1].nc = WORDS

    def forward(count: int) -> Callable[[], object]:
        pixels = torch.rand(count, 3, side, side, device=device.kind, dtype=device.numbers)
        texts = torch.nn.functional.normalize(torch.randn(count, WORDS, TEXT_DIM, device=device.kind), dim=2)
        return lambda: network.predict(pixels, txt_feats=texts.to(device.numbers))

    return _network(f"{architecture}, {side} px", network, forward, side, device)


def embedder(architecture: str, device: Device) -> Network:
    """The picture tower of a CLIP."""
    model = open_clip.create_model(architecture, pretrained=None, device=device.kind).eval().to(device.numbers)
    size = model.visual.image_size
    side = size[0] if isinstance(size, tuple) else size

    def forward(count: int) -> Callable[[], object]:
        pixels = torch.rand(count, 3, side, side, device=device.kind, dtype=device.numbers)
        return lambda: model.encode_image(pixels)

    return _network(f"{architecture}, {side} px", model.visual, forward, side, device)


def _network(
    name: str, module: torch.nn.Module, forward: Callable[[int], Callable[[], object]], side: int, device: Device
) -> Network:
    weights = sum(p.numel() * p.element_size() for p in module.parameters())
    return Network(name, forward, weights, 3 * side * side * device.numbers.itemsize)


@torch.inference_mode()
def measured(network: Network, count: int, device: Device, repeats: int) -> dict[str, Any]:
    """One batch: how fast, and what part of the roofline that is."""
    call = network.forward(count)
    with FlopCounterMode(display=False) as counter:
        call()
    flops = counter.get_total_flops()
    seconds = seconds_of(call, device.kind, repeats)
    arithmetic = flops / device.flops_per_s
    moving = (network.weight_bytes + count * network.picture_bytes) / device.bytes_per_s
    return {
        "network": network.name,
        "batch": count,
        "pictures_per_s": round(count / seconds, 2),
        "gflops_per_picture": round(flops / count / 1e9, 2),
        "tflops_per_s": round(flops / seconds / 1e12, 4),
        "bound_by": "arithmetic" if arithmetic > moving else "bandwidth",
        "of_roofline": round(max(arithmetic, moving) / seconds, 3),
    }


def draw(report: dict[str, Any], folder: Path) -> None:
    """The share of the roofline by batch size."""
    with figures.sheet(folder, "roofline") as axes:
        for name in dict.fromkeys(r["network"] for r in report["networks"]):
            rows = [r for r in report["networks"] if r["network"] == name]
            axes.plot([r["batch"] for r in rows], [r["of_roofline"] for r in rows], marker="o", label=name)
        axes.set_xscale("log", base=2)
        axes.set_ylim(0, 1)
        axes.set_xlabel("pictures in a batch")
        axes.set_ylabel("share of the roofline")
        axes.legend()


def main() -> None:
    """Parses the command line, measures, writes ``roofline.json`` and ``roofline.png``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--detector", default="yolov8x-worldv2", help="an architecture that ultralytics knows")
    parser.add_argument("--side", type=int, default=640, help="of the detector's pictures")
    parser.add_argument("--embedder", default="ViT-L-14-336", help="an architecture that open_clip knows")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--matrix", type=int, default=8_192, help="side of the matrices that the device is tried with")
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    ran = {**figures.machine(), **{k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}}
    device = measured_device(options.device, options.matrix, options.repeats)
    networks = [detector(options.detector, options.side, device), embedder(options.embedder, device)]
    rows = [measured(n, count, device, options.repeats) for n in networks for count in options.batches]
    reached = {"tflops_per_s": device.flops_per_s / 1e12, "gbytes_per_s": device.bytes_per_s / 1e9}
    report = {"ran": ran, "device": device.name, "numbers": str(device.numbers), **reached, "networks": rows}
    figures.write(options.out, "roofline", report)
    draw(report, options.out)
    figures.show(f"{device.name}, {device.numbers}", tuple(rows[0]), [tuple(r.values()) for r in rows])


if __name__ == "__main__":
    main()
