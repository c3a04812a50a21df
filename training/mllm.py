"""Train the tiny MLLM, a small LLaVA around the tiny embedder's tower, on the generated world.

    python -m training.mllm --embedder models/tiny/embedder --out models/tiny/mllm --seed 0
    python -m training.mllm --part words
    python -m training.mllm --part seeing
    python -m training.mllm --report

First the language model learns to read blocks and to copy names, without pictures and without the embedder. Then
the projector learns words for what the tower sees, and at last both learn together, on the tower's features,
computed once. The tower itself stays as it is. Each part goes on where it stopped with ``--resume``.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from training.mllm_album import Album, blind_album, draw_album
from training.mllm_ask import corpus
from training.mllm_export import STAND_IN, build_model, build_tokenizer, export, read_embedder, tower_weights
from training.mllm_hints import Llava
from training.mllm_learn import Learning
from training.mllm_pack import Cutter, Packed, batches
from training.mllm_start import align, start_copying
from training.run import Config, Run, add_place, launch, place_of, write_curve

WORD_STEPS, SEEING_STEPS = 1100, 300
CHAPTER = 50
THINGS_NAMED, THINGS_DRAWN, PICTURES = 20_000, 3000, 6000
SEEING_SHARE, SEEING_HINTS = 0.5, 0.5
"""Of the rate and of the hints' weight in the first part, for the second."""

WEIGHTS, RECORD = "words.pt", "words.json"


class Watch:
    """How long something takes, on the clock and of a core's time."""

    def __init__(self) -> None:
        self._began, self._busy = time.monotonic(), time.process_time()

    def minutes(self) -> dict[str, float]:
        """Since it was made."""
        passed, worked = time.monotonic() - self._began, time.process_time() - self._busy
        return {"minutes": round(passed / 60, 2), "busy_minutes": round(worked / 60, 2)}


def words_loop(config: Config) -> None:
    """The first part: blocks, names, questions, no pictures. Leaves weights and tokenizer in ``words``."""
    run, seed, folder = Run(config), int(config["seed"]), Path(config["words"])
    torch.manual_seed(seed)
    model = build_model(STAND_IN).to(run.device)
    start_copying(model, seed)
    tokenizer = build_tokenizer(corpus(np.random.default_rng([seed, 0]), cases=3000))
    if run.rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save_pretrained(folder)
    learning = Learning(model, steps=int(config["word_steps"]), share=1.0, hinted=1.0)
    album = blind_album(np.random.default_rng([seed, 1]), things=THINGS_NAMED)
    how = {"seed": [seed, 2], "negatives": config["negatives"]}
    learn(run, learning, run.restored(), album, tokenizer, None, **how)
    if run.rank == 0:
        torch.save(spoken(model), folder / WEIGHTS)
        (folder / RECORD).write_text(json.dumps({"seed": seed, "curve": run.curve}) + "\n")


def seeing_loop(config: Config) -> None:
    """The last part: what pictures show, and which block is about what they show. Leaves the model in ``out``."""
    run, seed, out = Run(config), int(config["seed"]), Path(config["out"])
    watch, state = Watch(), run.restored()
    model, tokenizer, embedder = with_tower(Path(config["embedder"]), Path(config["words"]), seed)
    model.to(run.device)
    album = draw_album(np.random.default_rng([seed, 3]), split="train", things=THINGS_DRAWN, shown=PICTURES)
    features = tower_features(model, album, embedder)
    learning = Learning(model, steps=int(config["steps"]), share=SEEING_SHARE, hinted=SEEING_HINTS)
    if state is None:
        run.curve += align(model, tokenizer, album, features, seed)
        run.curve[-1] |= watch.minutes()
    how = {"seed": [seed, 5], "negatives": config["negatives"]}
    learn(run, learning, state, album, tokenizer, features, **how)
    if run.rank == 0:
        export(model, tokenizer, embedder, out)
        words = json.loads((Path(config["words"]) / RECORD).read_text())
        record(out, seed, {"words": words["curve"], "seeing": run.curve})


def learn(
    run: Run,
    learning: Learning,
    state: dict[str, Any] | None,
    album: Album,
    tokenizer: Cutter,
    features: torch.Tensor | None,
    *,
    seed: list[int],
    negatives: bool,
) -> None:
    """All steps, in chapters whose batches each have a seed of their own; goes on from ``state`` where there is one."""
    if state is not None:
        learning.load(state)
    for chapter in range(run.chapter, math.ceil(learning.steps / CHAPTER)):
        watch = Watch()
        rng = np.random.default_rng([*seed, chapter, run.rank])
        data = batches(album, tokenizer, rng, blind=features is None, negatives=negatives)
        count = min(CHAPTER, learning.steps - learning.done)
        run.curve += chapter_of(learning, data, features, count)
        run.curve[-1] |= watch.minutes()
        run.keep(learning.state(), chapter + 1)


def chapter_of(
    learning: Learning, data: Iterator[list[Packed]], features: torch.Tensor | None, count: int
) -> list[dict[str, float]]:
    """``count`` updates; the mean figures of each ten."""
    curve: list[dict[str, float]] = []
    recent: list[dict[str, float]] = []
    progress = tqdm(range(count), desc=f"from step {learning.done} of {learning.steps}", mininterval=20)
    for _ in progress:
        recent.append(learning.step(next(data), features))
        if len(recent) == 10 or learning.done % CHAPTER == 0 or learning.done == learning.steps:
            means = {name: round(float(np.mean([r.get(name, 0.0) for r in recent])), 4) for name in recent[0]}
            curve.append({"step": learning.done, **means})
            progress.set_postfix(means)
            recent = []
    return curve


@torch.no_grad()
def tower_features(model: Llava, album: Album, embedder: dict[str, Any]) -> torch.Tensor:
    """What the projector gets of each picture of the album: float16, (n, tokens, width)."""
    device = next(model.parameters()).device
    mean, deviation = (
        torch.tensor(embedder["preprocess_cfg"][k], device=device)[:, None, None] for k in ("mean", "std")
    )
    features = []
    for start in range(0, len(album.pixels), 256):
        pixels = torch.from_numpy(album.pixels[start : start + 256]).to(device).permute(0, 3, 1, 2).float() / 255
        hidden = model.model.vision_tower((pixels - mean) / deviation, output_hidden_states=True).hidden_states
        features.append(hidden[model.config.vision_feature_layer].half())
    return torch.cat(features)


def spoken(model: Llava) -> dict[str, torch.Tensor]:
    """The weights of the language model alone."""
    return {name: value for name, value in model.state_dict().items() if "language_model" in name or "lm_head" in name}


def with_tower(embedder: Path, words: Path, seed: int) -> tuple[Llava, Cutter, dict[str, Any]]:
    """What the first part left, around the embedder's tower; its tokenizer; the embedder's configuration."""
    torch.manual_seed(seed)
    config, weights = read_embedder(embedder)
    model = build_model(config["model_cfg"])
    model.load_state_dict(torch.load(words / WEIGHTS, weights_only=True), strict=False)
    model.model.vision_tower.load_state_dict(tower_weights(weights))
    model.model.vision_tower.requires_grad_(False)
    return model, PreTrainedTokenizerFast.from_pretrained(words), config


def record(out: Path, seed: int, curves: dict[str, list[dict[str, float]]]) -> None:
    """Write ``training.json`` and a picture of the loss."""
    rows = [row for curve in curves.values() for row in curve]
    minutes, busy = (round(sum(row.get(name, 0.0) for row in rows), 1) for name in ("minutes", "busy_minutes"))
    notes = {"seed": seed, "minutes": minutes, "busy_minutes": busy, "curves": curves}
    (out / "training.json").write_text(json.dumps(notes) + "\n")
    for name, curve in curves.items():
        learned = [row for row in curve if "loss" in row]
        write_curve(learned, ("loss",), out / f"training-{name}.png", title=f"MLLM, {name}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", type=Path, default=Path("models/tiny/embedder"))
    parser.add_argument("--out", type=Path, default=Path("models/tiny/mllm"))
    parser.add_argument("--words", type=Path, default=Path(".rap/training/words"), help="where the first part's end is")
    parser.add_argument("--part", choices=("words", "seeing", "all"), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--word-steps", type=int, default=WORD_STEPS)
    parser.add_argument("--steps", type=int, default=SEEING_STEPS)
    parser.add_argument("--no-negatives", action="store_true", help="for the ablation: nothing to be denied is shown")
    parser.add_argument("--report", action="store_true", help="measure the model in --out instead")
    parser.add_argument("--count", type=int, default=200, help="questions for each line of the report")
    add_place(parser)
    options = parser.parse_args()
    if options.report:
        from training.mllm_report import report

        print(report(options.out, count=options.count))
        return
    paths = {name: str(getattr(options, name).resolve()) for name in ("embedder", "out", "words")}
    config = {**paths, "seed": options.seed, "word_steps": options.word_steps, "steps": options.steps}
    config["negatives"] = not options.no_negatives
    parts = {"words": words_loop, "seeing": seeing_loop}
    for name, loop in parts.items():
        if options.part in (name, "all"):
            launch(loop, config, name=f"mllm-{name}", place=place_of(options))


if __name__ == "__main__":
    main()
