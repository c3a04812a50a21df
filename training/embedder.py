"""Train the tiny embedder, a small CLIP, on the generated world.

    python -m training.embedder --out models/tiny/embedder --seed 0
    python -m training.embedder --resume

Three losses pull on one image embedding: two views of the same thing against the other things of the
batch, half of them look-alikes; a picture against prompts about it; and the thing's attributes, read by
linear heads that are thrown away. The folder written is one that open_clip loads by ``local-dir:``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from open_clip import CLIP
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from training.run import (
    Config,
    Run,
    add_place,
    average_gradients,
    fast_arithmetic,
    launch,
    place_of,
    warm_cosine,
    write_curve,
)
from training.world.prompts import OBJECT_WORDS, prompts
from training.world.text import describe
from training.world.things import CATEGORIES, COLOURS, CURIO, EMBLEMS, PATTERNS, WORN, Thing, sample_thing
from training.world.views import view_batches

SIDE = 96
STEPS, CHAPTER = 5500, 250
THINGS, FAMILIES = 96, 80
CURIOS = 0.3
"""How many families of look-alikes are of no known category."""

PEAK_RATE, MUON_RATE = 1.2e-3, 0.02
FULL_PATCHES_FROM = 0.85
WARM_UP = 60
MEAN = (0.5, 0.5, 0.5)
DEVIATION = (0.25, 0.25, 0.25)
COLOUR_WEIGHT_AT_FIRST = 0.3

MODEL: dict[str, Any] = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": SIDE, "patch_size": 16, "width": 192, "layers": 6, "head_width": 64, "mlp_ratio": 4.0},
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 2048,
        "hf_tokenizer_name": "tiny-embedder",
        "width": 192,
        "heads": 3,
        "layers": 3,
    },
}
SHAPES = (*CATEGORIES, CURIO)
ATTRIBUTES: tuple[tuple[str, tuple[str | int, ...]], ...] = (
    ("category", SHAPES),
    ("base", tuple(COLOURS)),
    ("accent", tuple(COLOURS)),
    ("detail", tuple(COLOURS)),
    ("pattern", PATTERNS),
    ("extra", tuple(dict.fromkeys(WORN + EMBLEMS))),
    ("form", tuple(f"{c}{i}" for c in SHAPES for i in range(4))),
    ("part", tuple(f"{c}{i}" for c in SHAPES for i in range(4))),
)


def build_tokenizer(seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE over the world's text and common object words; any string is inside it.

    The end token has the highest id, as open_clip's ``argmax`` pooling needs.
    """
    rng = np.random.default_rng(seed)
    corpus = [f"a photo of {describe(sample_thing(rng, split='train'), rng)}" for _ in range(4000)]
    corpus += [f"a {word}" for word in OBJECT_WORDS.split()] * 20
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Lowercase()
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    size = MODEL["text_cfg"]["vocab_size"]
    trainer = trainers.BpeTrainer(
        vocab_size=size - 2,
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    filler = size - 2 - bpe.get_vocab_size()
    bpe.add_special_tokens([*(f"<unused{i}>" for i in range(filler)), "<start>", "<end>"])
    bpe.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", size - 2), ("<end>", size - 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<start>", eos_token="<end>", model_max_length=24
    )


def build_model(patch_dropout: float) -> CLIP:
    """The CLIP with smooth first filters and positions, which learn faster than random ones."""
    vision = {**MODEL["vision_cfg"], "patch_dropout": patch_dropout}
    model = CLIP(MODEL["embed_dim"], vision_cfg=vision, text_cfg=dict(MODEL["text_cfg"]))
    with torch.no_grad():
        model.visual.conv1.weight.copy_(_smooth_filters(vision["width"], vision["patch_size"]))
        grid = SIDE // vision["patch_size"]
        model.visual.positional_embedding[1:].copy_(_smooth_positions(vision["width"], grid))
    return model


def _smooth_filters(width: int, patch: int) -> torch.Tensor:
    """Cosine waves over the patch, lowest first: half of them of brightness, a quarter of each colour axis."""
    waves = np.cos(np.pi / patch * (np.arange(patch)[None] + 0.5) * np.arange(patch)[:, None])
    order = sorted(((u, v) for u in range(patch) for v in range(patch)), key=lambda uv: uv[0] ** 2 + uv[1] ** 2)
    axes = np.array([(1, 1, 1), (1, -1, 0), (0.5, 0.5, -1)]) / np.array([[3], [1], [1]])
    filters = []
    for axis, share in zip(axes, (2, 4, 4), strict=True):
        for u, v in order[: width // share]:
            wave = np.outer(waves[u], waves[v])
            gain = 2 * (1 + math.hypot(u, v)) ** 0.5 / patch
            filters.append(axis[:, None, None] * wave / np.linalg.norm(wave) * gain)
    return torch.tensor(np.stack(filters), dtype=torch.float32)


def _smooth_positions(width: int, grid: int) -> torch.Tensor:
    y, x = np.mgrid[:grid, :grid].reshape(2, -1)
    rates = np.exp(np.linspace(np.log(np.pi / (2 * grid)), np.log(np.pi / 2), width // 4))
    waves = [f(axis[:, None] * rates) for axis in (x, y) for f in (np.sin, np.cos)]
    return torch.tensor(0.3 * np.concatenate(waves, axis=1), dtype=torch.float32)


Batch: TypeAlias = tuple[torch.Tensor, list[Thing], list[str], list[str]]
"""Views (2, n, s, s, 3), things, prompts and prompt keys."""


class Batches(IterableDataset[Batch]):
    """``count`` batches that follow from the seed alone; drawn ahead in a worker process."""

    def __init__(self, seed: list[int], count: int, *, augmented: bool = True) -> None:
        self.seed = seed
        self.count = count
        self.augmented = augmented

    def __iter__(self) -> Iterator[Batch]:
        cv2.setNumThreads(0)
        rng = np.random.default_rng(self.seed)
        drawn = view_batches(
            rng, things=THINGS, side=SIDE, pool=FAMILIES, renewed=1, curios=CURIOS, augmented=self.augmented
        )
        for batch in islice(drawn, self.count):
            texts, keys = prompts(batch.things, rng)
            yield torch.from_numpy(batch.views), list(batch.things), texts, keys


def to_pixels(views: torch.Tensor) -> torch.Tensor:
    """uint8, (..., s, s, 3) to normalised float32, (n, 3, s, s)."""
    flat = views.reshape(-1, *views.shape[-3:]).permute(0, 3, 1, 2).float()
    mean, deviation = (torch.tensor(each, device=views.device)[:, None, None] for each in (MEAN, DEVIATION))
    return flat.mul_(1 / (255 * deviation)).sub_(mean / deviation)


def same_thing_loss(first: torch.Tensor, second: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Each view finds its other view among all views of the batch. ``first``, ``second``: (n, d), norm 1."""
    both = torch.cat([first, second])
    logits = scale * both @ both.T
    logits.fill_diagonal_(-1e4)
    n = len(first)
    return functional.cross_entropy(logits, torch.arange(2 * n, device=logits.device).roll(n))


def prompt_loss(images: torch.Tensor, texts: torch.Tensor, fits: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Pictures find the prompts that fit, and back. ``fits``: bool, (n, n)."""
    logits = scale * images @ texts.T
    target = fits.float() / fits.sum(1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def attribute_targets(things: list[Thing]) -> torch.Tensor:
    """int64, (n, attributes)."""
    rows = []
    for thing in things:
        values = [getattr(thing, name) for name, _ in ATTRIBUTES]
        values[-2:] = [f"{thing.category}{value}" for value in values[-2:]]
        rows.append([options.index(value) for value, (_, options) in zip(values, ATTRIBUTES, strict=True)])
    return torch.tensor(rows)


def attribute_loss(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy over the attributes; the accent says nothing on a plain thing but costs little."""
    parts = scores.split([len(options) for _, options in ATTRIBUTES], dim=1)
    losses = [functional.cross_entropy(part, targets[:, i]) for i, part in enumerate(parts)]
    return torch.stack(losses).mean()


def fitting_prompts(texts: list[str], keys: list[str]) -> torch.Tensor:
    """bool, (n, n): the same key or the very same words."""
    equal = [[a == b or s == t for b, t in zip(keys, texts, strict=True)] for a, s in zip(keys, texts, strict=True)]
    return torch.tensor(equal)


class Trainer:
    """The model, its heads and its optimisers; one call of ``step`` is one update."""

    def __init__(self, seed: int, steps: int, device: torch.device) -> None:
        torch.manual_seed(seed)
        self.steps = steps
        self.device = device
        self.tokenizer = build_tokenizer(seed)
        self.model = build_model(patch_dropout=0.5).to(device)
        self.heads = torch.nn.Linear(MODEL["embed_dim"], sum(len(options) for _, options in ATTRIBUTES), device=device)
        self.scales = torch.nn.Parameter(torch.tensor([math.log(12.0), math.log(10.0)], device=device))
        self.learning = [*self.model.parameters(), *self.heads.parameters(), self.scales]
        inner = [p for name, p in self.model.named_parameters() if "resblocks" in name and p.ndim == 2]
        outer = [p for p in self.learning if all(p is not other for other in inner)]
        self.optimisers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(inner, lr=MUON_RATE, weight_decay=0.05, momentum=0.95, ns_steps=5),
            torch.optim.AdamW(outer, lr=PEAK_RATE, weight_decay=0.01, betas=(0.9, 0.98), fused=True),
        ]

    def state(self) -> dict[str, Any]:
        """All that ``load`` needs to go on."""
        return {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "scales": self.scales.detach(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.scales.data.copy_(state["scales"])
        for optimiser, each in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(each)

    def step(self, number: int, batch: Batch) -> dict[str, float]:
        """One update; the losses, and how many first views find their second."""
        for optimiser, peak in zip(self.optimisers, (MUON_RATE, PEAK_RATE), strict=True):
            optimiser.param_groups[0]["lr"] = peak * warm_cosine(number, self.steps, warm_up=WARM_UP, last=0.02)
            optimiser.zero_grad(set_to_none=True)
        self.model.visual.patch_dropout.prob = 0.5 if number < FULL_PATCHES_FROM * self.steps else 0.0
        first, second, losses = self._losses(number, batch)
        torch.stack(list(losses.values())).sum().backward()
        average_gradients(self.learning)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        found = (first.detach() @ second.detach().T).argmax(1).cpu()
        hits = found.eq(torch.arange(len(found))).float().mean()
        return {**{name: value.item() for name, value in losses.items()}, "top1": hits.item()}

    def _losses(self, number: int, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        views, things, texts, keys = batch
        with fast_arithmetic(self.device):
            features = self.model.encode_image(to_pixels(views.to(self.device)))
        norm = functional.normalize(features.float(), dim=1)
        first, second = norm.chunk(2)
        scales = self.scales.clamp(max=math.log(50.0)).exp()
        targets = attribute_targets(things).repeat(2, 1).to(self.device)
        losses = {
            "same": same_thing_loss(first, second, scales[0]),
            "attribute": 0.6 * attribute_loss(self.heads(norm * 8), targets),
        }
        if number % 2 == 0:
            fits = fitting_prompts(texts, keys).to(self.device)
            losses["prompt"] = 0.5 * prompt_loss(first, self._embed(texts), fits, scales[1])
        return first, second, losses

    def _embed(self, texts: list[str]) -> torch.Tensor:
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=MODEL["text_cfg"]["context_length"],
            return_tensors="pt",
        ).input_ids
        with fast_arithmetic(self.device):
            return self.model.encode_text(tokens.to(self.device), normalize=True).float()


def save(model: CLIP, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the folder; each file appears whole or not at all."""
    draft = out.parent / f".{out.name}-draft"
    draft.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().half().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, draft / "open_clip_model.safetensors")
    (draft / "open_clip_model.safetensors").chmod(0o644)
    tokenizer.save_pretrained(draft)
    preprocess = {"mean": MEAN, "std": DEVIATION, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {"model_cfg": MODEL, "preprocess_cfg": preprocess}
    (draft / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    digest = hashlib.sha256((draft / "open_clip_model.safetensors").read_bytes()).hexdigest()[:12]
    card = out / "embedding.json"
    notes = json.loads(card.read_text()) if card.exists() else {"colour_weight": COLOUR_WEIGHT_AT_FIRST}
    notes = {**notes, "version": f"tiny-embedder-{digest}"}
    (draft / "embedding.json").write_text(json.dumps(notes, indent=2) + "\n")
    for path in sorted(draft.iterdir()):
        path.replace(out / path.name)
    draft.rmdir()


def loop(config: Config) -> None:
    """Train in chapters of batches that each have a seed of their own; worker 0 leaves the embedder in ``out``."""
    run = Run(config)
    steps, out = int(config["steps"]), Path(config["out"])
    trainer = Trainer(int(config["seed"]), steps, run.device)
    if (state := run.restored()) is not None:
        trainer.load(state)
    for chapter in range(run.chapter, math.ceil(steps / CHAPTER)):
        began = time.monotonic()
        first = chapter * CHAPTER
        count = min(CHAPTER, steps - first)
        data = Batches([int(config["seed"]), chapter, run.rank], count, augmented=config["augmented"])
        loader = DataLoader(data, batch_size=None, num_workers=1, prefetch_factor=4)
        progress = tqdm(loader, total=count, desc=f"embedder, from step {first} of {steps}", mininterval=20)
        torch.manual_seed(first + 1000 * run.rank)
        for number, batch in enumerate(progress, first):
            figures = trainer.step(number, batch)
            if number % 10 == 0:
                run.curve.append({"step": number, **{name: round(value, 4) for name, value in figures.items()}})
                progress.set_postfix({name: f"{value:.3f}" for name, value in figures.items()})
        run.curve[-1]["seconds"] = round(time.monotonic() - began, 1)
        run.keep(trainer.state(), chapter + 1)
    if run.rank == 0:
        save(trainer.model, trainer.tokenizer, out)
        minutes = round(sum(row.get("seconds", 0.0) for row in run.curve) / 60, 1)
        record = {"seed": config["seed"], "steps": steps, "minutes": minutes, "curve": run.curve}
        (out / "training.json").write_text(json.dumps(record) + "\n")
        write_curve(run.curve, ("same", "attribute", "prompt", "top1"), out / "training.png", title="embedder")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("models/tiny/embedder"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--no-augmentation", action="store_true", help="for the ablation: clean pictures alone")
    add_place(parser)
    options = parser.parse_args()
    config = {"out": str(options.out.resolve()), "seed": options.seed, "steps": options.steps}
    config["augmented"] = not options.no_augmentation
    launch(loop, config, name="embedder", place=place_of(options))


if __name__ == "__main__":
    main()
