"""Tune a LLaVA or a Qwen-VL with RAP's recipe, low-rank adapters and the projector, and export what it learned.

    python -m training.lora tune --model MODEL --data RECORDS --out RUN --workers 2 --dtype float32
    python -m training.lora tune --model MODEL --data RECORDS --out RUN --gpu --gradient-checkpointing
    python -m training.lora export --model MODEL --run RUN --merged FOLDER
    python -m training.lora export --model MODEL --run RUN --adapter FOLDER [--base-copy FOLDER]

RECORDS is a folder or file of RAP's JSON (``training.data``). A run that was stopped goes on with ``--resume`` and
ends with the very weights that it would have ended with.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from training import lora_merge
from training.data.records import read_records
from training.lora_model import Recipe, Trainer, adapted, load, save_tuned
from training.lora_records import Collator, Example, Share, Steps, examples
from training.run import Config, Run, add_place, launch, place_of, write_curve

FIGURES, PICTURE = "training.json", "loss.png"


def loop(config: Config) -> None:
    """Tune in chapters of ``save_every`` steps; worker 0 leaves adapter, projector and figures in ``out``."""
    from ray import train

    run = Run(config)
    recipe = Recipe(**config["recipe"])
    steps = int(config["steps"])
    base, processor = load(Path(config["model"]), recipe.dtype, run.device)
    trainer = Trainer(adapted(base, recipe), recipe, steps=steps, rank=run.rank)
    if (state := run.restored()) is not None:
        trainer.load(state)
    share = Share(recipe.batch, recipe.micro_batch, run.rank, int(train.get_context().get_world_size()))
    collate = Collator(processor, max_tokens=recipe.max_tokens)
    chosen = read_examples(Path(config["data"]), Path(config["images"]))
    data = Steps(chosen, collate, share, steps=steps, seed=recipe.seed)
    every = int(config["save_every"])
    for chapter in range(run.chapter, math.ceil(steps / every)):
        numbers = range(chapter * every, min((chapter + 1) * every, steps))
        _learn(run, trainer, data, numbers, loaders=int(config["loaders"]))
        run.keep(trainer.state(), chapter + 1)
    if run.rank == 0:
        leave(trainer, run, config, examples=len(chosen))


def _learn(run: Run, trainer: Trainer, data: Steps, numbers: range, *, loaders: int) -> None:
    """The steps of one chapter, their figures added to the run's curve."""
    loader = DataLoader(data, batch_size=None, sampler=numbers, num_workers=loaders)
    progress = tqdm(loader, desc="tuning", initial=numbers.start, total=len(data), mininterval=10, disable=run.rank > 0)
    for number, batches in zip(numbers, progress, strict=True):
        began = time.monotonic()
        figures = trainer.step(number, batches)
        progress.set_postfix(loss=f"{figures['loss']:.3f}")
        run.curve.append({"step": number, **figures, "seconds": round(time.monotonic() - began, 3)})


def leave(trainer: Trainer, run: Run, config: Config, *, examples: int) -> None:
    """Write what the export reads, the figures and the loss as a picture."""
    out = Path(config["out"])
    out.mkdir(parents=True, exist_ok=True)
    save_tuned(trainer.model, out)
    learned = sum(p.numel() for p in trainer.learning.values())
    record = {"recipe": config["recipe"], "steps": config["steps"], "examples": examples, "learned_parameters": learned}
    (out / FIGURES).write_text(json.dumps({**record, "curve": run.curve}) + "\n")
    write_curve(run.curve, ("loss",), out / PICTURE, title="loss of the answers' tokens")


def read_examples(data: Path, images: Path) -> list[Example]:
    """All usable records of RAP's JSON; ValueError where none is."""
    problems: list[Any] = []
    chosen = examples((r.json() for r in read_records(data, problems=problems, images=images)), images)
    for problem in problems[:20]:
        print(f"left out: {problem}")
    if not chosen:
        raise ValueError(f"{data} holds no record that can be used; {len(problems)} were left out")
    return chosen


def tune(options: argparse.Namespace) -> None:
    """Launch the loop where the command line says."""
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in fields(Recipe)})
    place = place_of(options)
    Share(recipe.batch, recipe.micro_batch, 0, place.workers)
    images = options.images or (options.data if options.data.is_dir() else options.data.parent)
    count = len(read_examples(options.data, images))
    config = {
        "recipe": asdict(recipe),
        "model": str(options.model.resolve()),
        "data": str(options.data.resolve()),
        "images": str(images.resolve()),
        "out": str(options.out.resolve()),
        "steps": options.steps or math.ceil(options.epochs * count / recipe.batch),
        "save_every": options.save_every,
        "loaders": options.loaders,
    }
    launch(loop, config, name=f"lora-{options.out.resolve().name}", place=place)
    print(f"{options.out} holds the adapter; `python -m training.lora export` makes it servable")


def export(options: argparse.Namespace) -> None:
    """Write the folders asked for."""
    dtype = None if options.dtype == "auto" else getattr(torch, options.dtype)
    if options.merged:
        lora_merge.merged(options.model, options.run, options.merged, dtype=dtype)
    if options.adapter:
        lora_merge.adapter(options.model, options.run, options.adapter, base_copy=options.base_copy)


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; ``act`` is what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    tuning = commands.add_parser("tune", help="train an adapter")
    tuning.set_defaults(act=tune)
    tuning.add_argument("--model", type=Path, required=True, help="folder of the base, as vLLM loads it")
    tuning.add_argument("--data", type=Path, required=True, help="RAP's JSON, or a folder that training.data made")
    tuning.add_argument("--images", type=Path, help="where picture paths begin; the folder of the data by default")
    tuning.add_argument("--out", type=Path, required=True)
    tuning.add_argument("--epochs", type=float, default=1.0)
    tuning.add_argument("--steps", type=int, help="instead of epochs")
    tuning.add_argument("--save-every", type=int, default=100, help="steps between checkpoints")
    tuning.add_argument("--loaders", type=int, default=0, help="processes of each worker that prepare pictures")
    for field in fields(Recipe):
        name = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            tuning.add_argument(name, action="store_true")
        else:
            tuning.add_argument(name, type=type(field.default), default=field.default)
    add_place(tuning)
    exporting = commands.add_parser("export", help="make a tuned model servable")
    exporting.set_defaults(act=export)
    exporting.add_argument("--model", type=Path, required=True, help="folder of the base that was tuned")
    exporting.add_argument("--run", type=Path, required=True, help="what tune wrote")
    exporting.add_argument("--merged", type=Path, help="write one plain checkpoint here")
    exporting.add_argument("--adapter", type=Path, help="write the adapter alone here")
    exporting.add_argument("--base-copy", type=Path, help="write the base with the trained projector here")
    exporting.add_argument("--dtype", choices=("auto", "float16", "bfloat16", "float32"), default="auto")
    options = parser.parse_args(arguments)
    if options.act is export and not (options.merged or options.adapter):
        exporting.error("name --merged, --adapter or both")
    return options


def main() -> None:
    """The command line."""
    options = parsed()
    try:
        options.act(options)
    except (ValueError, OSError) as problem:
        raise SystemExit(f"lora: {problem}") from problem


if __name__ == "__main__":
    main()
