"""RAP's records as batches that a multimodal model learns from: the loss is that of the answers alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

Record: TypeAlias = dict[str, Any]
Inputs: TypeAlias = dict[str, torch.Tensor]

IGNORED = -100
_PLACEHOLDER = "<image>"
_PER_TOKEN = ("input_ids", "attention_mask", "mm_token_type_ids", "labels")
_ROLES = {"human": "user", "gpt": "assistant"}


@dataclass(frozen=True, slots=True)
class Example:
    """A record ready to be rendered. ``pictures``: files, in the order of the placeholders in ``turns``.

    ``turns``: (role, text), user and assistant in turn, the last the assistant's.
    """

    id: str
    pictures: tuple[Path, ...]
    turns: tuple[tuple[str, str], ...]


def examples(records: Iterable[Record], folder: Path) -> list[Example]:
    """The records as examples. ``folder``: where relative picture paths begin.

    ValueError names the record whose turns do not alternate or whose pictures and placeholders differ in number.
    """
    return [_example(record, folder) for record in records]


def _example(record: Record, folder: Path) -> Example:
    name = str(record.get("id"))
    try:
        turns = tuple((_ROLES[turn["from"]], str(turn["value"])) for turn in record["conversations"])
    except (KeyError, TypeError) as problem:
        raise ValueError(f"record {name}: not a conversation of human and gpt: {problem!r}") from problem
    if not turns or [role for role, _ in turns] != ["user", "assistant"] * (len(turns) // 2):
        raise ValueError(f"record {name}: human and gpt do not take turns, human first and gpt last")
    listed = record.get("image") or []
    pictures = tuple(folder / file for file in ([listed] if isinstance(listed, str) else listed))
    wanted = sum(text.count(_PLACEHOLDER) for role, text in turns if role == "user")
    if wanted != len(pictures):
        raise ValueError(f"record {name}: {wanted} <image> in its questions, {len(pictures)} pictures")
    return Example(name, pictures, turns)


def messages(example: Example) -> list[dict[str, Any]]:
    """The turns as chat templates take them, a part for each text and picture."""
    return [{"role": role, "content": _parts(role, text)} for role, text in example.turns]


def _parts(role: str, text: str) -> list[dict[str, str]]:
    pieces = re.split(f"({_PLACEHOLDER})", text) if role == "user" else [text]
    return [{"type": "image"} if p == _PLACEHOLDER else {"type": "text", "text": p} for p in pieces if p]


def rendered(processor: Any, example: Example) -> tuple[str, list[tuple[int, int]]]:
    """The conversation as the chat template writes it, and where in it the answers stand, each with its end sign."""
    said = messages(example)
    text = str(processor.apply_chat_template(said, tokenize=False))
    spans = []
    for place in range(1, len(said), 2):
        asked = str(processor.apply_chat_template(said[:place], tokenize=False, add_generation_prompt=True))
        answered = str(processor.apply_chat_template(said[: place + 1], tokenize=False))
        if not (answered.startswith(asked) and text.startswith(answered)):
            raise ValueError("the chat template does not write a conversation as its beginning and what follows")
        spans.append((len(asked), len(answered)))
    return text, spans


class Collator:
    """Turns examples into one padded batch with ``labels``, which are the answers' tokens and IGNORED elsewhere."""

    def __init__(self, processor: Any, *, max_tokens: int) -> None:
        self._processor = processor
        self._tokenizer = processor.tokenizer
        self._tokenizer.padding_side = "right"
        self._image = self._tokenizer.convert_tokens_to_ids(getattr(processor, "image_token", _PLACEHOLDER))
        self._limit = max_tokens

    def __call__(self, batch: Sequence[Example]) -> Inputs:
        """Everything the model's forward takes, and ``labels``: int64, (n, length).

        ValueError names the example whose pictures alone do not fit.
        """
        written = [rendered(self._processor, example) for example in batch]
        pictures = [[_opened(file, example.id) for file in example.pictures] for example in batch]
        inputs = self._processor(
            text=[text for text, _ in written],
            images=pictures if any(pictures) else None,
            add_special_tokens=False,
            padding=True,
            return_tensors="pt",
        )
        rows = [self._labels(ids, *each) for ids, each in zip(inputs["input_ids"], written, strict=True)]
        return self._cut({**inputs, "labels": torch.stack(rows)}, [example.id for example in batch])

    def _labels(self, ids: torch.Tensor, text: str, spans: list[tuple[int, int]]) -> torch.Tensor:
        """The processor repeats image tokens; the tokens in between are those of the text as it was."""
        cut = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        plain = [(token, *place) for token, place in zip(cut.input_ids, cut.offset_mapping, strict=True)]
        words = [each for each in plain if each[0] != self._image]
        at = (ids != self._image).nonzero().flatten()[: len(words)]
        if ids[at].tolist() != [token for token, _, _ in words]:
            raise ValueError("the processor cuts the text into other tokens than its tokenizer")
        taught = [any(start >= begin and stop <= end for begin, end in spans) for _, start, stop in words]
        labels = torch.full_like(ids, IGNORED)
        chosen = at[torch.tensor(taught, dtype=torch.bool)]
        labels[chosen] = ids[chosen]
        return labels

    def _cut(self, inputs: Inputs, names: list[str]) -> Inputs:
        length = inputs["input_ids"].shape[1]
        if length <= self._limit:
            return inputs
        lost = (inputs["input_ids"][:, self._limit :] == self._image).any(1)
        if lost.any():
            raise ValueError(f"record {names[int(lost.nonzero()[0])]}: its pictures do not fit in {self._limit} tokens")
        return {name: value[:, : self._limit] if name in _PER_TOKEN else value for name, value in inputs.items()}


def _opened(file: Path, name: str) -> Image.Image:
    try:
        with Image.open(file) as picture:
            return picture.convert("RGB")
    except (OSError, ImportError) as problem:  # ImportError: a decoder that ultralytics makes Pillow ask for
        raise ValueError(f"record {name}: {file} cannot be read: {problem}") from problem


def order(count: int, seed: int) -> Iterator[int]:
    """Endless numbers below ``count``: each epoch all of them once, in an order of its own that the seed gives."""
    epoch = 0
    while True:
        yield from (int(i) for i in np.random.default_rng([seed, epoch]).permutation(count))
        epoch += 1


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of each batch is a worker's, and into how many examples at a time it is cut."""

    batch: int
    micro_batch: int
    rank: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if self.batch % self.workers:
            raise ValueError(f"a batch of {self.batch} cannot be shared evenly by {self.workers} workers")

    def of(self, chosen: Sequence[int]) -> list[list[int]]:
        """This worker's micro-batches of one batch."""
        mine = list(chosen[self.rank :: self.workers])
        return [mine[i : i + self.micro_batch] for i in range(0, len(mine), self.micro_batch)]


class Steps(Dataset[list[Inputs]]):
    """The micro-batches of each step by its number; the same for the same seed, whatever ran before."""

    def __init__(self, chosen: Sequence[Example], collate: Collator, share: Share, *, steps: int, seed: int) -> None:
        self._examples, self._collate, self._share = chosen, collate, share
        numbers = order(len(chosen), seed)
        self._order = np.array([next(numbers) for _ in range(steps * share.batch)], np.int64).reshape(steps, -1)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, step: int) -> list[Inputs]:
        shares = self._share.of(self._order[step].tolist())
        return [self._collate([self._examples[i] for i in share]) for share in shares]
