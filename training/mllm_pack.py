"""Conversations as token trees, and the loss of the answers in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from rap_serve.domain.prompt import ImagePart, TextPart, Turn
from training.mllm_album import Album, place_of
from training.mllm_data import Case, sample_case
from training.mllm_export import IMAGE, TOKENS_PER_PICTURE

Llava: TypeAlias = LlavaForConditionalGeneration
Cutter: TypeAlias = PreTrainedTokenizerFast

CASES, DIALOGUES, SORTED = 12, 4, 8
BLIND_TOKENS_PER_PICTURE = 1
FIRST_TOKENS, FIRST_WEIGHT = 5, 3.0
"""The first words of an answer decide whom it names, so they weigh more than the words that are copied."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """One case as a tree: a prompt's beginning, read once, and branches that do not see each other.

    ``ids``, ``positions``, ``branch`` (0 is the beginning) and ``weights`` (of the loss of predicting the
    token; 0 where it is given): (length,). ``pictures``: album places in the order of the image tokens.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    branch: NDArray[np.int64]
    weights: NDArray[np.float32]
    pictures: tuple[int, ...]


def template_messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    """The turns as the chat template takes them."""
    return [
        {
            "role": turn.role,
            "content": [
                {"type": "text", "text": part.text} if isinstance(part, TextPart) else {"type": "image"}
                for part in turn.parts
            ],
        }
        for turn in turns
    ]


def prompt_text(tokenizer: Cutter, turns: Sequence[Turn]) -> str:
    """The rendered prompt, one ``<image>`` a picture, ready for the answer."""
    return str(tokenizer.apply_chat_template(template_messages(turns), tokenize=False, add_generation_prompt=True))


def pack(case: Case, tokenizer: Cutter, tokens_per_picture: int) -> Packed:
    """The case's dialogues over their common beginning."""
    image = tokenizer.convert_tokens_to_ids(IMAGE)
    texts = [prompt_text(tokenizer, case.turns(dialogue)) for dialogue in case.dialogues]
    cut = tokenizer(texts, add_special_tokens=False).input_ids
    prompts = [_expanded(ids, image, tokens_per_picture) for ids in cut]
    answers = tokenizer([d[-1].answer for d in case.dialogues], add_special_tokens=False).input_ids
    shared = _common(prompts)
    ids, positions, branch = list(prompts[0][:shared]), list(range(shared)), [0] * shared
    weights = [0.0] * shared
    for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True), 1):
        told = [*answer, tokenizer.eos_token_id]
        rest = [*prompt[shared:], *told]
        ids += rest
        positions += range(shared, shared + len(rest))
        branch += [number] * len(rest)
        weights += [0.0] * (len(rest) - len(told)) + [FIRST_WEIGHT] * min(FIRST_TOKENS, len(told))
        weights += [1.0] * max(0, len(told) - FIRST_TOKENS)
    turns = case.turns(case.dialogues[0])
    pictures = tuple(place_of(part) for part in turns[0].parts if isinstance(part, ImagePart))
    return Packed(np.array(ids), np.array(positions), np.array(branch), np.array(weights, np.float32), pictures)


def _expanded(ids: list[int], image: int, count: int) -> list[int]:
    return [each for token in ids for each in ([image] * count if token == image else [token])]


def _common(sequences: list[list[int]]) -> int:
    """The length of the beginning that all share, less than any's whole."""
    limit = min(len(s) for s in sequences) - 1
    return next((i for i in range(limit) if len({s[i] for s in sequences}) > 1), limit)


def batches(album: Album, tokenizer: Cutter, rng: np.random.Generator, *, blind: bool) -> Iterator[list[Packed]]:
    """Endless batches of cases, those of a batch alike in length."""
    count = BLIND_TOKENS_PER_PICTURE if blind else TOKENS_PER_PICTURE
    while True:
        cases = [sample_case(album, rng, dialogues=DIALOGUES, blind=blind) for _ in range(SORTED * CASES)]
        packed = sorted((pack(case, tokenizer, count) for case in cases), key=lambda p: len(p.ids))
        for start in rng.permutation(SORTED) * CASES:
            yield packed[start : start + CASES]


def answer_loss(model: Llava, batch: list[Packed], features: torch.Tensor | None) -> torch.Tensor:
    """The weighted mean loss of the answers' tokens. ``features``: (pictures, tokens, width), None while blind."""
    length = max(len(p.ids) for p in batch)
    ids, positions, branch = (
        _padded([getattr(p, name) for p in batch], length, fill)
        for name, fill in (("ids", 0), ("positions", 0), ("branch", -1))
    )
    weights = _padded([p.weights for p in batch], length, 0)
    embedded = model.get_input_embeddings()(ids)
    at_pictures = (ids == model.config.image_token_index)[..., None]
    if features is None:
        embedded = embedded.masked_fill(at_pictures, 0.0)
    else:
        places = [place for p in batch for place in p.pictures]
        if places:
            seen = model.model.multi_modal_projector(features[places].float())
            embedded = embedded.masked_scatter(at_pictures, seen.to(embedded.dtype))
    hidden = model.model.language_model(
        inputs_embeds=embedded, position_ids=positions, attention_mask=_tree_mask(branch), use_cache=False
    ).last_hidden_state
    asked = weights[:, 1:] > 0
    scores = model.lm_head(hidden[:, :-1][asked]).float()
    losses = functional.cross_entropy(scores, ids[:, 1:][asked], reduction="none")
    return (losses * weights[:, 1:][asked]).sum() / weights.sum()


def _padded(rows: list[NDArray[Any]], length: int, fill: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([np.pad(row, (0, length - len(row)), constant_values=fill) for row in rows]))


def _tree_mask(branch: torch.Tensor) -> torch.Tensor:
    """Added to attention scores, (n, 1, length, length): each token sees the beginning and its own branch."""
    length = branch.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    kin = (branch[:, None, :] == 0) | (branch[:, None, :] == branch[:, :, None])
    return torch.where(earlier & kin, 0.0, -1e9)[:, None]
