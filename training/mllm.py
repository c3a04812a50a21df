"""Train the tiny MLLM, a small LLaVA around the tiny embedder's tower, on the generated world.

    python -m training.mllm --embedder models/tiny/embedder --out models/tiny/mllm --seed 0
    python -m training.mllm --report

First the language model learns to read blocks and to copy names, without pictures. Then the projector learns
words for what the tower sees, and at last both learn together, on the tower's features, computed once. The
tower itself stays as it is.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from tqdm import tqdm

from training.memory import keep_freed_memory
from training.mllm_album import Album, blind_album, draw_album
from training.mllm_data import corpus
from training.mllm_export import build_model, build_tokenizer, export, read_embedder, tower_weights
from training.mllm_pack import Cutter, Llava, Packed, answer_loss, batches
from training.mllm_start import align, start_copying

Curve: TypeAlias = list[dict[str, float]]

BLIND_STEPS, STEPS = 350, 500
THINGS, PICTURES = 3000, 6000
RATE, MUON_RATE = 2.0e-3, 0.012
SEEING_SHARE = 0.6


def rate_share(step: int, steps: int) -> float:
    """The share of the peak learning rate: a short rise, then a cosine down."""
    return min(1.0, (step + 1) / 40) * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def learn(
    model: Llava,
    data: Iterator[list[Packed]],
    features: torch.Tensor | None,
    *,
    steps: int,
    share: float,
    name: str,
) -> Curve:
    """Muon and AdamW with a cosine for ``steps`` updates of all but the tower; returns the loss curve."""
    learning = [p for n, p in model.named_parameters() if "vision_tower" not in n]
    inner = [p for n, p in model.named_parameters() if "language_model.layers" in n and p.ndim == 2]
    outer = [p for p in learning if not any(p is q for q in inner)]
    optimisers = [
        torch.optim.Muon(inner, lr=MUON_RATE * share, weight_decay=0.05, momentum=0.95, ns_steps=4),
        torch.optim.AdamW(outer, lr=RATE * share, betas=(0.9, 0.97), weight_decay=0.0),
    ]
    peaks = [optimiser.param_groups[0]["lr"] for optimiser in optimisers]
    curve: Curve = []
    progress = tqdm(range(steps), desc=name, mininterval=10)
    recent = 0.0
    for step in progress:
        for optimiser, peak in zip(optimisers, peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * rate_share(step, steps)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = answer_loss(model, next(data), features)
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        for optimiser in optimisers:
            optimiser.step()
        recent = loss.item() if step == 0 else 0.95 * recent + 0.05 * loss.item()
        if step % 20 == 0:
            progress.set_postfix(loss=f"{recent:.3f}")
            curve.append({"step": step, "loss": round(recent, 4)})
    return curve


def learn_words(model: Llava, tokenizer: Cutter, seed: int, steps: int) -> Curve:
    """The first part: blocks, names, questions, no pictures."""
    rng = np.random.default_rng([seed, 1])
    data = batches(blind_album(rng, things=20000), tokenizer, rng, blind=True)
    return learn(model, data, None, steps=steps, share=1.0, name="words")


def learn_to_see(model: Llava, tokenizer: Cutter, album: Album, features: torch.Tensor, seed: int, steps: int) -> Curve:
    """The last part: what pictures show, and which block is about what they show."""
    rng = np.random.default_rng([seed, 2])
    data = batches(album, tokenizer, rng, blind=False)
    return learn(model, data, features, steps=steps, share=SEEING_SHARE, name="seeing")


@torch.no_grad()
def tower_features(model: Llava, album: Album, embedder: dict[str, Any]) -> torch.Tensor:
    """What the projector gets of each picture of the album: float16, (n, tokens, width)."""
    mean, deviation = (torch.tensor(embedder["preprocess_cfg"][k])[:, None, None] for k in ("mean", "std"))
    features = []
    for start in range(0, len(album.pixels), 256):
        pixels = torch.from_numpy(album.pixels[start : start + 256]).permute(0, 3, 1, 2).float() / 255
        hidden = model.model.vision_tower((pixels - mean) / deviation, output_hidden_states=True).hidden_states
        features.append(hidden[model.config.vision_feature_layer].half())
    return torch.cat(features)


def untrained(embedder: Path, seed: int) -> tuple[Llava, Cutter, dict[str, Any]]:
    """A model with the embedder's tower, its tokenizer, and the embedder's configuration."""
    torch.manual_seed(seed)
    config, weights = read_embedder(embedder)
    model = build_model(config["model_cfg"])
    model.set_attn_implementation("eager")
    start_copying(model, seed)
    model.model.vision_tower.load_state_dict(tower_weights(weights))
    model.model.vision_tower.requires_grad_(False)
    return model, build_tokenizer(corpus(np.random.default_rng([seed, 0]), cases=4000)), config


def train(embedder: Path, out: Path, seed: int, blind_steps: int, steps: int) -> None:
    """Train all parts and leave the model in ``out``; the curves are in ``training.json``."""
    started = time.monotonic()
    model, tokenizer, config = untrained(embedder, seed)
    curves = {"words": learn_words(model, tokenizer, seed, blind_steps)}
    album = draw_album(np.random.default_rng([seed, 3]), split="train", things=THINGS, shown=PICTURES)
    features = tower_features(model, album, config)
    curves["align"] = align(model, tokenizer, album, features, seed)
    curves["seeing"] = learn_to_see(model, tokenizer, album, features, seed, steps)
    export(model, tokenizer, config, out)
    minutes = round((time.monotonic() - started) / 60, 1)
    record = {"seed": seed, "blind_steps": blind_steps, "steps": steps, "minutes": minutes, "curves": curves}
    (out / "training.json").write_text(json.dumps(record) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", type=Path, default=Path("models/tiny/embedder"))
    parser.add_argument("--out", type=Path, default=Path("models/tiny/mllm"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blind-steps", type=int, default=BLIND_STEPS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="measure the model in --out instead")
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    if options.report:
        from training.mllm_report import report

        print(report(options.out))
    else:
        train(options.embedder, options.out, options.seed, options.blind_steps, options.steps)


if __name__ == "__main__":
    main()
