"""One part of the tiny MLLM's training: its optimisers, its rate, and a state to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from training.mllm_hints import ATTENTION, Hints, Llava, answer_loss
from training.mllm_pack import Packed
from training.run import average_gradients, warm_cosine

RATE, MUON_RATE = 2.0e-3, 0.012
WARM_UP = 30
HINT_WEIGHT, HINTS_UNTIL = 0.3, 0.7
"""The hints' part of the loss, and the share of the steps at which it has faded."""


class Learning:
    """Teaches all of the model but its tower, for ``steps`` updates at ``share`` of the usual rate."""

    def __init__(self, model: Llava, *, steps: int, share: float, hinted: float) -> None:
        """``hinted``: how much the hints weigh at first, of their usual weight."""
        self.model, self.steps, self.hinted = model, steps, hinted
        self.done = 0
        self._learning = [p for n, p in model.named_parameters() if "vision_tower" not in n]
        inner = [p for n, p in model.named_parameters() if "language_model.layers" in n and p.ndim == 2]
        outer = [p for p in self._learning if not any(p is q for q in inner)]
        self._optimisers = [
            torch.optim.Muon(inner, lr=MUON_RATE * share, weight_decay=0.05, momentum=0.95, ns_steps=4),
            torch.optim.AdamW(outer, lr=RATE * share, betas=(0.9, 0.97), weight_decay=0.0),
        ]
        self._peaks = [MUON_RATE * share, RATE * share]
        model.model.language_model.set_attn_implementation(ATTENTION)

    def step(self, batch: Sequence[Packed], features: torch.Tensor | None) -> dict[str, float]:
        """One update; the loss of the answers and, while there are hints, theirs."""
        for optimiser, peak in zip(self._optimisers, self._peaks, strict=True):
            optimiser.param_groups[0]["lr"] = peak * warm_cosine(self.done, self.steps, warm_up=WARM_UP, last=0.02)
        weight = self.hinted * HINT_WEIGHT * max(0.0, 1 - self.done / (HINTS_UNTIL * self.steps))
        hints = Hints.of(batch) if weight else None
        with torch.autocast(self.model.device.type, dtype=torch.bfloat16):
            loss = answer_loss(self.model, batch, features, hints)
        hinted = torch.stack([loss.new_zeros(()), *(hints.losses.values() if hints is not None else ())]).sum()
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)
        (loss + weight * hinted).backward()
        average_gradients(self._learning)
        torch.nn.utils.clip_grad_norm_(self._learning, 1.0)
        for optimiser in self._optimisers:
            optimiser.step()
        self.done += 1
        figures = {"loss": loss.item()}
        if hints is not None:
            figures |= {"hints": hinted.item()} | {f"hint{k}": v.item() for k, v in hints.losses.items()}
        return figures

    def state(self) -> dict[str, Any]:
        """All that ``load`` needs to go on as if nothing had happened."""
        weights = {n: p.detach() for n, p in self.model.state_dict().items() if "vision_tower" not in n}
        return {"done": self.done, "model": weights, "optimisers": [o.state_dict() for o in self._optimisers]}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a ``state``."""
        self.done = int(state["done"])
        self.model.load_state_dict(state["model"], strict=False)
        for optimiser, kept in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
