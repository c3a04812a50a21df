"""The loss of the answers, and of attention heads that are told where to look.

Reading a block takes several layers that work together, and a loss on answers alone finds such a circuit late.
Where an answer comes from is known, so while training begins one head of each of five layers is told: in which
block a token stands (its number), which block has the name that a token belongs to, of which name the line of places
speaks, what to copy next, and which of the lettered options says so. Later training goes on without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import AttentionInterface, LlavaForConditionalGeneration

from training.mllm_pack import CHOICE, COPY, MATCH, OWN, SUBJECT, Packed

Llava: TypeAlias = LlavaForConditionalGeneration

HEADS = {OWN: (1, 2), MATCH: (2, 0), SUBJECT: (3, 0), COPY: (4, 0), CHOICE: (5, 0)}
"""Kind of hint to (layer, head)."""

ATTENTION = "told_where_to_look"
_UNLIKELY = 1e-6


@dataclass(slots=True, eq=False)
class Hints:
    """A batch's hints, and what the heads made of them."""

    indices: dict[int, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
    """Kind to rows of the batch, tokens, and the tokens to look at, each (n,)."""

    losses: dict[int, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def of(cls, batch: Sequence[Packed]) -> Hints:
        """The hints of all cases of a batch."""
        rows = np.concatenate([np.full(len(p.hints), i) for i, p in enumerate(batch)])
        every = np.concatenate([p.hints for p in batch])
        indices = {}
        for kind in HEADS:
            mine = every[:, 0] == kind
            if mine.any():
                columns = (rows[mine], every[mine, 1], every[mine, 2])
                indices[kind] = tuple(torch.from_numpy(column) for column in columns)
        return cls(indices)  # type: ignore[arg-type]

    def hear(self, layer: int, weights: torch.Tensor) -> None:
        """Note how far the layer's head is from looking where it should. ``weights``: (n, heads, length, length)."""
        for kind, (at, head) in HEADS.items():
            if at == layer and kind in self.indices:
                row, token, source = self.indices[kind]
                self.losses[kind] = -weights[row, head, token, source].float().clamp_min(_UNLIKELY).log().mean()


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor,
    scaling: float,
    hints: Hints | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Plain attention that lets ``hints`` hear its weights; in the inputs' own precision, which saves a quarter."""
    scores = torch.matmul(query * scaling, key.transpose(2, 3))
    weights = (scores + attention_mask.to(scores.dtype)).softmax(dim=-1)
    if hints is not None:
        hints.hear(int(module.layer_idx), weights)  # type: ignore[arg-type]
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attention)


def answer_loss(
    model: Llava, batch: Sequence[Packed], features: torch.Tensor | None, hints: Hints | None = None
) -> torch.Tensor:
    """The weighted mean loss of the answers' tokens. ``features``: (pictures, tokens, width), None while blind."""
    scores, targets, weights = answer_scores(model, batch, features, hints)
    losses = functional.cross_entropy(scores, targets, reduction="none")
    return (losses * weights).sum() / weights.sum()


def answer_scores(
    model: Llava, batch: Sequence[Packed], features: torch.Tensor | None, hints: Hints | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each token of the answers its scores over the vocabulary, the right one, and its weight."""
    device = next(model.parameters()).device
    length = max(len(p.ids) for p in batch)
    ids, positions, branch, weights = (
        _padded([getattr(p, name) for p in batch], length, fill).to(device)
        for name, fill in (("ids", 0), ("positions", 0), ("branch", -1), ("weights", 0))
    )
    embedded = model.get_input_embeddings()(ids)
    at_pictures = (ids == model.config.image_token_index)[..., None]
    if features is None:
        embedded = embedded.masked_fill(at_pictures, 0.0)
    else:
        places = [place for p in batch for place in p.pictures]
        if places:
            seen = model.model.multi_modal_projector(features[places].float())
            embedded = embedded.masked_scatter(at_pictures, seen.to(embedded.dtype))
    told = {} if hints is None else {"hints": hints}
    hidden = model.model.language_model(
        inputs_embeds=embedded, position_ids=positions, attention_mask=_tree_mask(branch), use_cache=False, **told
    ).last_hidden_state
    asked = weights[:, 1:] > 0
    return model.lm_head(hidden[:, :-1][asked]).float(), ids[:, 1:][asked], weights[:, 1:][asked]


def _padded(rows: list[NDArray[Any]], length: int, fill: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.pad(row, (0, length - len(row)), constant_values=fill) for row in rows]))


def _tree_mask(branch: torch.Tensor) -> torch.Tensor:
    """Added to attention scores, (n, 1, length, length): each token sees the beginning and its own branch."""
    length = branch.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool, device=branch.device).tril()
    kin = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    return torch.where(earlier & kin, 0.0, -1e9)[:, None]
