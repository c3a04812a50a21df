"""One stage of the detector's training: how long, how fast, on which pictures and with which word vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ultralytics.cfg import get_cfg
from ultralytics.nn.tasks import WorldModel
from ultralytics.utils.torch_utils import ModelEMA

from training.detector_batches import WORDS_PER_PICTURE, Batch
from training.detector_loss import DetectionLoss
from training.detector_optimiser import Optimiser
from training.detector_words import Lexicon, vectors
from training.run import average_gradients, warm_cosine

ARCHITECTURE = "yolov8n-worldv2.yaml"


@dataclass(frozen=True, slots=True)
class Stage:
    """``last``: share of the rate at the end. ``naming``: what naming counts for beside the detection
    loss, first and last.

    ``sizes``: (share of the steps, sides in pixels that take turns).
    """

    steps: int
    rate: float
    last: float
    naming: tuple[float, float]
    sizes: tuple[tuple[float, tuple[int, ...]], ...]

    def size_at(self, step: int) -> int:
        """Side of the pictures of a step, in pixels."""
        share = 0.0
        for part, sides in self.sizes:
            share += part
            if step < share * self.steps:
                return sides[step % len(sides)]
        return self.sizes[-1][1][-1]

    def rate_at(self, step: int) -> float:
        """Learning rate of a step: a short rise, then half a cosine down to ``last``."""
        return self.rate * warm_cosine(step, self.steps, warm_up=100, last=self.last)

    def naming_at(self, step: int) -> float:
        """What naming counts for at a step."""
        first, last = self.naming
        return first + (last - first) * step / self.steps


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


class Trainer:
    """A network, its moving average and its optimiser; one call of ``step`` is one update."""

    def __init__(self, model: WorldModel, stage: Stage, lexicon: Lexicon, device: torch.device) -> None:
        self.model = model.to(device)
        self.average = ModelEMA(self.model, decay=0.998, tau=200)
        self._stage = stage
        self._lexicon = lexicon
        self._device = device
        self._loss = DetectionLoss(self.model)
        self._optimiser = _optimiser(self.model)
        self.model.train()

    def step(self, number: int, batch: Batch) -> dict[str, torch.Tensor]:
        """One update; the parts of the loss."""
        batch = batch.to(self._device)
        texts = torch.from_numpy(np.stack([vectors(self._lexicon, words) for words in batch.vocabularies]))
        with torch.autocast(self._device.type, torch.bfloat16):
            raw = self.model.predict(batch.pixels.float() / 255, txt_feats=texts.to(self._device))
        loss, parts = self._loss(raw, batch, naming=self._stage.naming_at(number))
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(self.model.parameters())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self._optimiser.step(self._stage.rate_at(number))
        self.average.update(self.model)
        return parts

    def state(self) -> dict[str, Any]:
        """All that ``load`` needs to go on."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.ema.state_dict(),
            "updates": self.average.updates,
            "optimiser": self._optimiser.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` gave."""
        self.model.load_state_dict(state["model"])
        self.average.ema.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self._optimiser.load(state["optimiser"])

    def result(self) -> WorldModel:
        """The moving average of the weights."""
        found: WorldModel = self.average.ema
        return found


def _optimiser(model: WorldModel) -> Optimiser:
    """Muon for the filters, but for those that give the answers; a faster rate for the lone scalars of the head."""
    head = model.model[-1]
    answering = {id(convolutions[-1].weight) for convolutions in (*head.cv2, *head.cv3)}
    learning = [value for value in model.parameters() if value.requires_grad]
    filters = [p for p in learning if p.ndim == 4 and id(p) not in answering]
    rest = [p for p in learning if p.ndim != 4 or id(p) in answering]
    return Optimiser(filters, [(1.0, [p for p in rest if p.numel() > 1]), (10.0, [p for p in rest if p.numel() == 1])])
