"""What the detector is trained to do: ultralytics' detection loss with several true words a thing, and naming."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from ultralytics.nn.tasks import WorldModel
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import TaskAlignedAssigner

from training.detector_batches import WORDS_PER_PICTURE, Batch


class ManyTruths(TaskAlignedAssigner):  # type: ignore[misc]
    """Assigns boxes as ultralytics does, then scores every word that is true of the assigned thing.

    ``rows`` and ``weights`` of the last call: the true words of each cell's thing, (b, cells, words), and how
    well the cell fits it, (b, cells), zero in the background.
    """

    truths: torch.Tensor
    rows: torch.Tensor
    weights: torch.Tensor

    def forward(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, ...]:
        """As the base class; its scores, one word each, become those of all true words."""
        labels, boxes, scores, foreground, things = super().forward(*args, **kwargs)
        self.rows, self.weights = torch.zeros_like(scores), scores.amax(-1)
        if self.truths.shape[1]:
            self.rows = self.truths.gather(1, things[..., None].expand(-1, -1, self.truths.shape[2]))
            scores = self.weights[..., None] * self.rows
        return labels, boxes, scores, foreground, things


class DetectionLoss:
    """The loss of a batch: boxes, each word on its own, and the right word before the wrong ones."""

    def __init__(self, model: WorldModel) -> None:
        self._criterion = v8DetectionLoss(model)
        self._assigner = ManyTruths(topk=10, num_classes=WORDS_PER_PICTURE, alpha=0.5, beta=6.0)
        self._criterion.assigner = self._assigner

    def __call__(
        self, raw: dict[str, Any], batch: Batch, *, naming: float
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The sum, with ``naming`` times the last part, and its parts without their gradients.

        ``raw``: what the network gives in training.
        """
        outputs = {"boxes": raw["boxes"].float(), "scores": raw["scores"].float(), "feats": raw["feats"]}
        self._assigner.truths = batch.truths
        counts = torch.bincount(batch.owners.long(), minlength=len(batch.pixels)).tolist()
        things = torch.cat([truths[:count] for truths, count in zip(batch.truths, counts, strict=True)])
        targets = {"batch_idx": batch.owners, "cls": things.argmax(-1).float(), "bboxes": batch.boxes.clone()}
        _, losses, parts = self._criterion.get_assigned_targets_and_loss(outputs, targets)
        named = naming_loss(
            outputs["scores"].transpose(1, 2), self._assigner.rows, self._assigner.weights, batch.naming
        )
        return losses.sum() + naming * named, {**parts, "naming": named.detach()}


def naming_loss(scores: torch.Tensor, true: torch.Tensor, weights: torch.Tensor, naming: torch.Tensor) -> torch.Tensor:
    """How far each true word is from standing before all the wrong ones, the mean over cells by their weights.

    ``scores`` and ``true``: (b, cells, words). ``weights``: (b, cells). ``naming``: bool, (b, words), the words
    that take part.
    """
    right = true.bool() & naming[:, None]
    wrong = ~true.bool() & naming[:, None]
    rivals = scores.masked_fill(~wrong, -30.0).logsumexp(-1, keepdim=True)
    losses = functional.softplus(rivals - scores) * right
    count = right.sum(-1)
    each = losses.sum(-1) / count.clamp(min=1)
    weights = weights * (count > 0)
    return (each * weights).sum() / weights.sum().clamp(min=1)
