"""Trains the tiny YOLO-World detector from nothing on scenes of the generated world.

Two stages with one loop. The first gives each word a random vector, which already teaches the backbone and
the boxes; the second uses the text tower that the detector is served with, and larger pictures. What the
network is shown is in ``detector_batches`` and ``detector_scenes``.

    python -m training.detector --embedder models/tiny/embedder --out models/tiny/detector --seed 0
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import ultralytics
from torch.utils.data import DataLoader
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import WorldModel
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import TaskAlignedAssigner
from ultralytics.utils.torch_utils import ModelEMA

from training.detector_batches import WORDS_PER_PICTURE, Batch, Batches, Floats
from training.memory import keep_freed_memory
from training.world import CATEGORIES

Lexicon = Callable[[str], Floats]

ARCHITECTURE = "yolov8n-worldv2.yaml"
TEXT_DIM = 512
BATCH = 8
NOMINAL_SIZE = 192
"""What the checkpoint names as its size, in pixels: the middle of the sizes it is trained at."""

CHECKPOINT_NAME = "yolo_world_tiny.pt"


@dataclass(frozen=True, slots=True)
class Stage:
    """``sizes``: (share of the steps, sides in pixels that take turns). ``decay``: the rate falls to zero."""

    steps: int
    rate: float
    sizes: tuple[tuple[float, tuple[int, ...]], ...]
    decay: bool

    def size_at(self, step: int) -> int:
        """Side of the pictures of a step, in pixels."""
        share = 0.0
        for part, sides in self.sizes:
            share += part
            if step < share * self.steps:
                return sides[step % len(sides)]
        return self.sizes[-1][1][-1]

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: a short rise, then level or half a cosine."""
        rise = min(1.0, (step + 1) / 200)
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if self.decay else 1.0
        return self.rate * rise * max(fall, 0.01)


class ManyTruths(TaskAlignedAssigner):  # type: ignore[misc]
    """Assigns boxes as ultralytics does, then scores every word that is true of the assigned thing."""

    truths: torch.Tensor

    def forward(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        """As the base class; its scores, one word each, become those of all true words."""
        labels, boxes, scores, foreground, things = super().forward(*args, **kwargs)
        if self.truths.shape[1]:
            rows = self.truths.gather(1, things[..., None].expand(-1, -1, self.truths.shape[2]))
            scores = scores.amax(-1, keepdim=True) * rows
        return labels, boxes, scores, foreground, things


def random_words(word: str) -> Floats:
    """A unit vector that is the same in every process: the sum of one random direction per word."""
    total = np.zeros(TEXT_DIM)
    for part in word.split():
        seed = int.from_bytes(hashlib.sha256(part.encode()).digest()[:8], "big")
        total += np.random.default_rng(seed).standard_normal(TEXT_DIM)
    return np.asarray(total / np.linalg.norm(total), dtype=np.float32)


def tower_words(folder: str) -> Lexicon:
    """The text features the detector is served with."""
    from rap_serve.adapters.open_clip import OpenClipEmbedder

    encoder = OpenClipEmbedder.load(folder)
    known: dict[str, Floats] = {}

    def lookup(word: str) -> Floats:
        if word not in known:
            known[word] = encoder.embed_texts([word])[0]
        return known[word]

    return lookup


def new_model() -> WorldModel:
    """The network with random weights; the words' scores start near one in a hundred."""
    model = WorldModel(ARCHITECTURE, verbose=False)
    model.args = get_cfg()
    head = model.model[-1]
    head.nc = WORDS_PER_PICTURE
    for contrast in head.cv4:
        contrast.bias.data.fill_(-4.6)
        contrast.logit_scale.data.zero_()
    return model


def train(
    model: WorldModel,
    stage: Stage,
    lexicon: Lexicon,
    *,
    seed: int,
    save: Callable[[WorldModel, int], None],
    save_every: int,
) -> WorldModel:
    """The moving average of the weights after the stage; ``save`` sees it on the way, with its step."""
    torch.manual_seed(seed)
    average = ModelEMA(model, decay=0.998, tau=200)
    criterion = v8DetectionLoss(model)
    assigner = ManyTruths(topk=10, num_classes=WORDS_PER_PICTURE, alpha=0.5, beta=6.0)
    criterion.assigner = assigner
    optimizer = torch.optim.AdamW(_groups(model), lr=stage.rate, betas=(0.9, 0.99))
    model.train()
    start, recent = time.monotonic(), torch.zeros(3)
    sizes = [stage.size_at(step) for step in range(stage.steps)]
    loader = DataLoader(Batches(sizes, BATCH, seed), batch_size=None, num_workers=1, prefetch_factor=6)
    for step, batch in enumerate(loader):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate_at(step) * group["factor"]
        loss, parts = _loss(model, criterion, assigner, batch, lexicon)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        average.update(model)
        recent = recent * 0.98 + 0.02 * torch.stack(list(parts.values()))
        if (step + 1) % 50 == 0:
            shown = " ".join(f"{value / (1 - 0.98 ** (step + 1)):.3f}" for value in recent)
            print(f"step {step + 1}/{stage.steps} {time.monotonic() - start:.0f} s loss {shown}", flush=True)
        if (step + 1) % save_every == 0 or step + 1 == stage.steps:
            save(average.ema, step + 1)
    return average.ema


def _loss(
    model: WorldModel, criterion: v8DetectionLoss, assigner: ManyTruths, batch: Batch, lexicon: Lexicon
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    pixels = batch.pixels.float() / 255
    texts = torch.from_numpy(np.stack([[lexicon(word) for word in words] for words in batch.vocabularies]))
    with torch.autocast("cpu", torch.bfloat16):
        raw = model.predict(pixels, txt_feats=texts)
    outputs = {"boxes": raw["boxes"].float(), "scores": raw["scores"].float(), "feats": raw["feats"]}
    assigner.truths = batch.truths
    things = torch.cat([batch.truths[i, : int((batch.owners == i).sum())] for i in range(len(pixels))])
    targets = {"batch_idx": batch.owners, "cls": things.argmax(-1).float(), "bboxes": batch.boxes.clone()}
    losses, parts = criterion(outputs, targets)
    return losses.sum() * len(pixels) / BATCH, parts


def _groups(model: WorldModel) -> list[dict[str, Any]]:
    """Decay for matrices, none for vectors, and a faster rate for the lone scalars of the head."""
    named = [value for value in model.parameters() if value.requires_grad]
    return [
        {"params": [p for p in named if p.ndim > 1], "weight_decay": 0.02, "factor": 1.0},
        {"params": [p for p in named if p.ndim <= 1 and p.numel() > 1], "weight_decay": 0.0, "factor": 1.0},
        {"params": [p for p in named if p.numel() == 1], "weight_decay": 0.0, "factor": 10.0},
    ]


def save_checkpoint(model: WorldModel, path: Path, lexicon: Lexicon, *, image_size: int) -> None:
    """A checkpoint as ultralytics ships them (half precision, no optimiser), in place at once."""
    shipped = deepcopy(model).half().eval()
    shipped.model[-1].nc = len(CATEGORIES)
    shipped.txt_feats = torch.from_numpy(np.stack([lexicon(name) for name in CATEGORIES]))[None]
    shipped.names = dict(enumerate(CATEGORIES))
    arguments = {"task": "detect", "model": ARCHITECTURE, "imgsz": image_size}
    shipped.args = arguments
    content = {"epoch": -1, "best_fitness": None, "model": shipped, "ema": None, "updates": None}
    content |= {"optimizer": None, "train_args": arguments, "version": ultralytics.__version__}
    temporary = path.with_suffix(".partial")
    torch.save(content, temporary)
    temporary.replace(path)


def main() -> None:
    """Both stages; the first is read from ``--pretrained`` where that file exists."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--embedder", default="models/tiny/embedder")
    parser.add_argument("--out", type=Path, default=Path("models/tiny/detector"))
    parser.add_argument("--pretrained", type=Path, help="weights of the first stage: read, or else written")
    parser.add_argument("--pretrain-steps", type=int, default=3600)
    parser.add_argument("--steps", type=int, default=2200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    model = new_model()
    first = Stage(options.pretrain_steps, 1.5e-3, ((1.0, (128, 160, 192)),), decay=False)
    second = Stage(options.steps, 1e-3, ((0.5, (128, 160, 192)), (0.5, (160, 192, 224))), decay=True)
    target = options.out / CHECKPOINT_NAME

    def keep_first(average: WorldModel, steps: int) -> None:
        if options.pretrained is not None:
            torch.save({"steps": steps, "weights": average.state_dict()}, options.pretrained)

    if options.pretrained is not None and options.pretrained.exists():
        model.load_state_dict(torch.load(options.pretrained)["weights"])
    elif first.steps:
        averaged = train(model, first, random_words, seed=options.seed, save=keep_first, save_every=200)
        model.load_state_dict(averaged.state_dict())
    if second.steps:
        lexicon = tower_words(options.embedder)

        def keep(average: WorldModel, steps: int) -> None:
            save_checkpoint(average, target, lexicon, image_size=NOMINAL_SIZE)

        train(model, second, lexicon, seed=options.seed + 1, save=keep, save_every=250)


if __name__ == "__main__":
    main()
