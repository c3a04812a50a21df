"""Trains the tiny YOLO-World detector from nothing on pictures of the generated world.

    python -m training.detector --embedder models/tiny/embedder --out models/tiny/detector --seed 0
    python -m training.detector --resume

Four stages, each of which goes on from what the one before left in the folder of checkpoints:

    backbone  single things: which category, colour, pattern and form
    words     scenes: boxes, and which words are true of what, as vectors of the embedder's text tower
    things    scenes, nearly always with a word that is true of everything: what has no name is a thing too
    names     scenes, with such a word every second time: which word is true of what, once more
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import torch
import ultralytics
from torch.utils.data import DataLoader
from tqdm import tqdm
from ultralytics.nn.tasks import WorldModel

from training.detector_backbone import BackboneTrainer, CropBatches
from training.detector_batches import Batches
from training.detector_stage import ARCHITECTURE, Stage, Trainer, new_model
from training.detector_words import Lexicon, tower_words, vectors
from training.run import Config, Place, Run, add_place, launch, place_of, write_curve
from training.world import CATEGORIES

STAGES = ("backbone", "words", "things", "names")
STEPS = {"backbone": 1800, "words": 2600, "things": 600, "names": 5200}
CHAPTER = 250
CROPS, PICTURES = 32, 16
"""Things in a batch of crops, pictures in a batch of scenes."""

GROWING = ((0.4, (96, 128)), (0.4, (128, 160, 192)), (0.2, (160, 192, 224)))
EVERY_SIZE = ((1.0, (128, 160, 192, 224)),)
GENERIC_SHARE = {"words": 0.3, "things": 0.9, "names": 0.5}
"""How many vocabularies have a generic word. While names are learnt it is in the way; without it the network
learns that what it cannot name is background."""

NOMINAL_SIZE = 192
"""What the checkpoint names as its size, in pixels: the middle of the sizes it is trained at last."""

CHECKPOINT_NAME = "yolo_world_tiny.pt"


class Pupil(Protocol):
    """What a stage trains."""

    def step(self, number: int, batch: Any) -> dict[str, torch.Tensor]:
        """One update; figures to keep."""

    def state(self) -> dict[str, Any]:
        """All that ``load`` needs to go on."""

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""

    def result(self) -> WorldModel:
        """What the stage hands on."""


def loop(config: Config) -> None:
    """One stage, in chapters of batches that each have a seed of their own; worker 0 leaves its result."""
    run = Run(config)
    stage, steps = str(config["stage"]), int(config["steps"])
    state = run.restored()
    pupil = _pupil(config, run.device)
    if state is not None:
        pupil.load(state)
    for chapter in range(run.chapter, math.ceil(steps / CHAPTER)):
        began, first = time.monotonic(), chapter * CHAPTER
        batches = _batches(config, first, min(CHAPTER, steps - first), run.rank)
        title = f"detector {stage}, from step {first} of {steps}"
        for number, batch in enumerate(tqdm(batches, desc=title, mininterval=20), first):
            figures = pupil.step(number, batch)
            if number % 10 == 0:
                run.curve.append({"step": number, **{name: round(float(v), 4) for name, v in figures.items()}})
        run.curve[-1]["seconds"] = round(time.monotonic() - began, 1)
        run.keep(pupil.state(), chapter + 1)
    if run.rank == 0:
        weights = {name: value.cpu() for name, value in pupil.result().state_dict().items()}
        torch.save({"weights": weights, "curve": run.curve}, config["results"][stage])


def _pupil(config: Config, device: torch.device) -> Pupil:
    """The network as the stage before left it."""
    stage, steps = str(config["stage"]), int(config["steps"])
    torch.manual_seed(int(config["seed"]))
    model = new_model()
    if stage == "backbone":
        return BackboneTrainer(model, steps, device)
    model.load_state_dict(_result(config, STAGES[STAGES.index(stage) - 1])["weights"])
    return Trainer(model, stage_of(stage, steps), tower_words(str(config["embedder"])), device)


def stage_of(name: str, steps: int) -> Stage:
    """How scenes are learnt. Names count most at first; that scores say how sure they are is learnt after."""
    if name == "words":
        return Stage(steps, rate=0.08, last=0.02, naming=(4.0, 1.0), sizes=GROWING)
    if name == "names":
        return Stage(steps, rate=0.06, last=0.02, naming=(3.0, 1.0), sizes=EVERY_SIZE)
    return Stage(steps, rate=0.02, last=0.02, naming=(1.0, 1.0), sizes=EVERY_SIZE)


def _batches(config: Config, first: int, count: int, rank: int) -> Iterable[Any]:
    """``count`` batches from step ``first``, drawn ahead in a process of their own."""
    stage, steps = str(config["stage"]), int(config["steps"])
    seed = [int(config["seed"]), STAGES.index(stage), first, rank]
    if stage == "backbone":
        return DataLoader(CropBatches(count, CROPS, seed), batch_size=None, num_workers=1, prefetch_factor=4)
    plan = stage_of(stage, steps)
    sizes = [plan.size_at(number) for number in range(first, first + count)]
    drawn = Batches(sizes, PICTURES, seed, generic_share=GENERIC_SHARE[stage])
    return DataLoader(drawn, batch_size=None, num_workers=1, prefetch_factor=4)


def _result(config: Config, stage: str) -> dict[str, Any]:
    return dict(torch.load(config["results"][stage], map_location="cpu", weights_only=True))


def save_checkpoint(model: WorldModel, path: Path, lexicon: Lexicon) -> None:
    """A checkpoint as ultralytics ships them (half precision, no optimiser), in place at once."""
    shipped = deepcopy(model).cpu().half().eval()
    shipped.model[-1].nc = len(CATEGORIES)
    shipped.txt_feats = torch.from_numpy(vectors(lexicon, CATEGORIES))[None]
    shipped.names = dict(enumerate(CATEGORIES))
    arguments = {"task": "detect", "model": ARCHITECTURE, "imgsz": NOMINAL_SIZE}
    shipped.args = arguments
    content = {"epoch": -1, "best_fitness": None, "model": shipped, "ema": None, "updates": None}
    content |= {"optimizer": None, "train_args": arguments, "version": ultralytics.__version__}
    temporary = path.with_suffix(".partial")
    torch.save(content, temporary)
    temporary.replace(path)


def publish(config: Config, out: Path, stages: Sequence[str]) -> None:
    """Leave what came of the stages in ``out``: the checkpoint, ``training.json`` and a picture of the curve."""
    out.mkdir(parents=True, exist_ok=True)
    results = {stage: _result(config, stage) for stage in stages}
    model = new_model()
    model.load_state_dict(results[stages[-1]]["weights"])
    save_checkpoint(model, out / CHECKPOINT_NAME, tower_words(str(config["embedder"])))
    record: dict[str, Any] = {"seed": config["seed"], "stages": {}}
    for stage, result in results.items():
        minutes = round(sum(row.get("seconds", 0.0) for row in result["curve"]) / 60, 1)
        record["stages"][stage] = {"steps": config["stage_steps"][stage], "minutes": minutes, "curve": result["curve"]}
    (out / "training.json").write_text(json.dumps(record) + "\n")
    names = ("box_loss", "cls_loss", "dfl_loss", "naming")
    write_curve(results["words"]["curve"], names, out / "training.png", title="detector, stage words")


def train(config: Config, out: Path, place: Place, *, until: str) -> None:
    """The stages up to ``until``, without those that are done where ``place`` resumes."""
    stages = STAGES[: STAGES.index(until) + 1]
    for stage in stages:
        result = Path(config["results"][stage])
        if place.resume and result.exists():
            continue
        result.parent.mkdir(parents=True, exist_ok=True)
        result.unlink(missing_ok=True)
        steps = config["stage_steps"][stage]
        launch(loop, {**config, "stage": stage, "steps": steps}, name=f"detector-{stage}", place=place)
    if until != STAGES[0]:
        publish(config, out, stages)


def configure(embedder: Path, *, seed: int, steps: dict[str, int], place: Place) -> Config:
    """What the stages are told. ``steps``: of each stage."""
    results = {stage: str(place.storage.resolve() / f"detector-{stage}.pt") for stage in STAGES}
    return {"embedder": str(embedder.resolve()), "seed": seed, "stage_steps": steps, "results": results}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embedder", type=Path, default=Path("models/tiny/embedder"))
    parser.add_argument("--out", type=Path, default=Path("models/tiny/detector"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="the last stage to run")
    for stage, count in STEPS.items():
        parser.add_argument(f"--{stage}-steps", type=int, default=count)
    add_place(parser)
    options = parser.parse_args()
    place = place_of(options)
    steps = {stage: int(getattr(options, f"{stage}_steps")) for stage in STAGES}
    config = configure(options.embedder, seed=options.seed, steps=steps, place=place)
    train(config, options.out, place, until=options.until)


if __name__ == "__main__":
    main()
