"""Teaches the detector's backbone to see before it detects: crops of single things, and what is true of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import IterableDataset
from ultralytics.nn.tasks import WorldModel

from training.detector_optimiser import Optimiser
from training.run import average_gradients, warm_cosine
from training.world.things import CATEGORIES, COLOURS, GROUPS, KINDS, PATTERNS, Thing
from training.world.views import view_batches

SIDE, SMALL_SIDE = 96, 64
LEVELS = (4, 6, 9)
"""Layers of the backbone that the neck reads: strides 8, 16 and 32."""

RATE = 0.2
QUESTIONS: tuple[tuple[str, int], ...] = (
    ("category", len(CATEGORIES)),
    ("group", len(GROUPS)),
    ("base", len(COLOURS)),
    ("pattern", len(PATTERNS)),
    ("form", 4 * len(CATEGORIES)),
)

Crops: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Pictures, uint8, (n, 3, side, side), and the answers to the questions, int64, (n, questions)."""


def answers(thing: Thing) -> list[int]:
    """The right answer to each of ``QUESTIONS``."""
    category = CATEGORIES.index(thing.category)
    colours, patterns = list(COLOURS), list(PATTERNS)
    return [
        category,
        GROUPS.index(KINDS[thing.category].group),
        colours.index(thing.base),
        patterns.index(thing.pattern),
        4 * category + thing.form,
    ]


class CropBatches(IterableDataset[Crops]):
    """``count`` batches that follow from the seed alone: each is shown twice, then mirrored and smaller."""

    def __init__(self, count: int, things: int, seed: Sequence[int]) -> None:
        self._count = count
        self._things = things
        self._seed = seed

    def __iter__(self) -> Iterator[Crops]:
        return islice(self._pairs(), self._count)

    def _pairs(self) -> Iterator[Crops]:
        cv2.setNumThreads(0)
        rng = np.random.default_rng(self._seed)
        for batch in view_batches(rng, things=self._things, side=SIDE, pool=self._things, renewed=2):
            pixels = torch.from_numpy(batch.views).flatten(0, 1).permute(0, 3, 1, 2).contiguous()
            right = torch.tensor([answers(thing) for thing in batch.things]).repeat(2, 1)
            yield pixels, right
            small = functional.interpolate(pixels.flip(3).float(), size=SMALL_SIDE, mode="area")
            yield small.round().to(torch.uint8), right


class BackboneTrainer:
    """The backbone with a head on each of its levels, thrown away later; one call of ``step`` is one update."""

    def __init__(self, model: WorldModel, steps: int, device: torch.device) -> None:
        self.model = model.to(device)
        self._layers = self.model.model[: LEVELS[-1] + 1]
        self._steps = steps
        self._device = device
        widths = self._widths()
        outputs = sum(count for _, count in QUESTIONS)
        self._heads = torch.nn.ModuleList(_head(width, outputs) for width in widths).to(device)
        self._learning = [*self._layers.parameters(), *self._heads.parameters()]
        filters = [p for p in self._layers.parameters() if p.ndim == 4]
        vectors = [p for p in self._layers.parameters() if p.ndim < 4]
        self._optimiser = Optimiser(filters, [(1.0, [*vectors, *self._heads.parameters()])])
        self.model.train()

    def step(self, number: int, crops: Crops) -> dict[str, torch.Tensor]:
        """One update; the loss, and how often the deepest level has the category right."""
        pixels, targets = (each.to(self._device) for each in crops)
        with torch.autocast(self._device.type, torch.bfloat16):
            features = self._features(pixels.float() / 255)
        scores = [head(level.float()) for head, level in zip(self._heads, features, strict=True)]
        loss = torch.stack([_cross_entropy(each, targets) for each in scores]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(self._learning)
        torch.nn.utils.clip_grad_norm_(self._learning, 5.0)
        self._optimiser.step(RATE * warm_cosine(number, self._steps, warm_up=100, last=0.1))
        right = scores[-1][:, : len(CATEGORIES)].argmax(1) == targets[:, 0]
        return {"loss": loss.detach(), "category": right.float().mean()}

    def state(self) -> dict[str, Any]:
        """All that ``load`` needs to go on."""
        return {
            "model": self.model.state_dict(),
            "heads": self._heads.state_dict(),
            "optimiser": self._optimiser.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.model.load_state_dict(state["model"])
        self._heads.load_state_dict(state["heads"])
        self._optimiser.load(state["optimiser"])

    def result(self) -> WorldModel:
        """The network, of which the backbone is trained."""
        return self.model

    def _features(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The mean over each level: (n, channels)."""
        found = []
        for index, layer in enumerate(self._layers):
            pixels = layer(pixels)
            if index in LEVELS:
                found.append(pixels.mean((2, 3)))
        return found

    @torch.no_grad()
    def _widths(self) -> list[int]:
        was = self.model.training
        self.model.eval()
        found = self._features(torch.zeros(1, 3, 64, 64, device=self._device))
        self.model.train(was)
        return [level.shape[1] for level in found]


def _head(width: int, outputs: int) -> torch.nn.Module:
    """Scores from a level's mean, brought to one scale first, without which the deeper levels learn late."""
    return torch.nn.Sequential(torch.nn.BatchNorm1d(width, affine=False), torch.nn.Linear(width, outputs))


def _cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    parts = scores.split([count for _, count in QUESTIONS], dim=1)
    losses = [functional.cross_entropy(part, targets[:, i]) for i, part in enumerate(parts)]
    return torch.stack(losses).mean()
