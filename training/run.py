"""One training loop, on two cores, a GPU or a cluster: through Ray Train, with checkpoints that it resumes from.

A loop is a plain function of a dict. It asks ``Run`` where it stopped, and hands it what to remember:

    def loop(config):
        run = Run(config)
        state = run.restored()
        for chapter in range(run.chapter, chapters):
            ...                                   # a pure function of the seed, the chapter and the state
            run.keep(state, curve, chapter + 1)

A run that was killed goes on from its last chapter with ``resume`` and ends with what it would have ended with.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from training.memory import keep_freed_memory

Config: TypeAlias = dict[str, Any]
Curve: TypeAlias = list[dict[str, float]]

STATE, NOTES = "state.pt", "notes.json"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a loop runs. ``threads``: of each worker. ``storage``: a folder all workers reach."""

    storage: Path
    workers: int = 1
    threads: int = 1
    use_gpu: bool = False
    resume: bool = False


def launch(loop: Callable[[Config], None], config: Config, *, name: str, place: Place) -> None:
    """Run ``loop`` on every worker until all are done; raises what a worker raised.

    Without ``resume`` what an earlier run of that name kept is dropped.
    """
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # on a machine that is busy with other things
    os.environ.setdefault("RAY_agent_register_timeout_ms", "180000")
    import ray
    from ray.train import CheckpointConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    storage = place.storage.resolve()
    if not place.resume:
        shutil.rmtree(storage / name, ignore_errors=True)
    needs = {"CPU": float(place.threads)} | ({"GPU": 1.0} if place.use_gpu else {})
    if not ray.is_initialized():
        # Ray Train asks the dashboard whether its controller lives.
        ray.init(include_dashboard=True, num_cpus=None if os.environ.get("RAY_ADDRESS") else _cores(place))
    trainer = TorchTrainer(
        loop,
        train_loop_config={**config, "threads": place.threads},
        scaling_config=ScalingConfig(num_workers=place.workers, use_gpu=place.use_gpu, resources_per_worker=needs),
        run_config=RunConfig(name=name, storage_path=str(storage), checkpoint_config=CheckpointConfig(num_to_keep=2)),
    )
    trainer.fit()


def add_place(parser: argparse.ArgumentParser) -> None:
    """Give the command line the options that ``place_of`` reads."""
    group = parser.add_argument_group("where it runs (RAY_ADDRESS names a cluster)")
    group.add_argument("--workers", type=int, default=1, help="that average their gradients")
    group.add_argument("--threads", type=int, default=1, help="of each worker")
    group.add_argument("--gpu", action="store_true", help="one for each worker")
    group.add_argument("--checkpoints", type=Path, default=Path(".rap/training"), help="folder that all workers reach")
    group.add_argument("--resume", action="store_true", help="go on where a run of this name stopped")


def place_of(options: argparse.Namespace) -> Place:
    """What the command line said."""
    return Place(options.checkpoints, options.workers, options.threads, options.gpu, options.resume)


def _cores(place: Place) -> int:
    """Enough for the workers and for what Ray's own controller takes."""
    return max(os.cpu_count() or 1, place.workers * place.threads + 1)


class Run:
    """A worker's view of the run that it is part of."""

    def __init__(self, config: Config) -> None:
        from ray import train

        keep_freed_memory()
        torch.set_num_threads(int(config["threads"]))
        self._context = train.get_context()
        self.chapter = 0
        self.curve: Curve = []

    @property
    def rank(self) -> int:
        """0 for the worker that writes results."""
        return int(self._context.get_world_rank())

    @property
    def device(self) -> torch.device:
        """Where this worker's tensors live."""
        from ray.train.torch import get_device

        found = get_device()
        assert isinstance(found, torch.device)
        return found

    def restored(self) -> dict[str, Any] | None:
        """What ``keep`` was last given; None in a run that begins. Sets ``chapter`` and ``curve``."""
        from ray import train

        checkpoint = train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            notes = json.loads((Path(folder) / NOTES).read_text())
            state = torch.load(Path(folder) / STATE, map_location=self.device, weights_only=True)
        self.chapter, self.curve = int(notes["chapter"]), list(notes["curve"])
        return dict(state)

    def keep(self, state: dict[str, Any], chapter: int) -> None:
        """Remember the state (tensors, numbers, and lists or dicts of them) and that ``chapter`` comes next.

        Once this returns, a run that dies goes on from here.
        """
        from ray import train
        from ray.train import Checkpoint, CheckpointConsistencyMode

        figures = {"chapter": chapter, **(self.curve[-1] if self.curve else {})}
        if self.rank:
            train.report(figures)
            return
        with tempfile.TemporaryDirectory() as folder:
            torch.save(state, Path(folder) / STATE)
            (Path(folder) / NOTES).write_text(json.dumps({"chapter": chapter, "curve": self.curve}))
            train.report(figures, checkpoint=Checkpoint.from_directory(folder))
        train.get_all_reported_checkpoints(CheckpointConsistencyMode.COMMITTED)  # until then it is on its way only


@contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """bfloat16; and on a CPU plain attention, which takes a third of the fused one's time for a few dozen tokens."""
    plain = sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
    with torch.autocast(device.type, dtype=torch.bfloat16), plain:
        yield


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """The mean over all workers in place of each gradient; nothing where there is one worker."""
    from torch import distributed

    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.get_world_size()


def warm_cosine(step: int, steps: int, *, warm_up: int, last: float) -> float:
    """The share of the peak rate at a step: a straight rise over ``warm_up`` steps, times half a cosine to ``last``."""
    rise = min(1.0, (step + 1) / warm_up)
    return rise * (last + (1 - last) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def write_curve(curve: Curve, names: Sequence[str], file: Path, *, title: str) -> None:
    """A picture of the figures ``names`` over the steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name in names:
        points = [(row["step"], row[name]) for row in curve if name in row]
        axes.plot(*zip(*points, strict=True), label=name)
    axes.set_xlabel("step")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=100)
    pyplot.close(figure)
