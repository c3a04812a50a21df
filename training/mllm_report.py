"""How well a trained tiny MLLM answers about things that it was never shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from rap_serve.domain.prompt import ImagePart
from training.mllm_album import Album, draw_album, place_of
from training.mllm_data import Case, Exchange, sample_case
from training.mllm_pack import prompt_text
from training.mllm_words import names_in
from training.world.things import CATEGORIES, COLOURS

LONGEST_ANSWER = 72


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A question that was asked. ``ended``: the model stopped by itself."""

    case: Case
    exchange: Exchange
    text: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of the report: which cases and questions, and what a good answer is."""

    title: str
    case: str
    questions: tuple[str, ...]
    good: Callable[[Answered], bool]


def names_right(a: Answered) -> bool:
    """Exactly the concepts it should name."""
    return set(names_in(a.text)) == set(a.exchange.named)


def is_equal(a: Answered) -> bool:
    """Word for word."""
    return a.text == a.exchange.answer


def says_yes_or_no(a: Answered) -> bool:
    """The right one of the two."""
    return a.text.split(",")[0] == a.exchange.answer.split(",")[0]


def says(words: tuple[str, ...]) -> Callable[[Answered], bool]:
    """Those of the words that the right answer has, and no others."""
    return lambda a: {w for w in words if f" {w}" in a.text} == {w for w in words if f" {w}" in a.exchange.answer}


MEASURES = (
    Measure("one block: names it and nothing else", "one", ("what", "caption"), names_right),
    Measure("one block: quotes the info word for word", "one", ("what", "caption"), is_equal),
    Measure("two or three blocks of things in the picture: names all", "several", ("what", "caption"), names_right),
    Measure("a right block among wrong ones: names the right one only", "mixed", ("what", "caption"), names_right),
    Measure("only blocks of absent things: names none", "wrong", ("what", "caption"), names_right),
    Measure("recognition, one right block: says yes", "one", ("present",), says_yes_or_no),
    Measure("recognition, right and wrong blocks: yes or no", "mixed", ("present",), says_yes_or_no),
    Measure("recognition, wrong blocks: says no", "wrong", ("present",), says_yes_or_no),
    Measure("where a thing is", "one", ("where",), is_equal),
    Measure("no blocks: names none", "bare", ("what", "caption"), names_right),
    Measure("no blocks: the right categories", "bare", ("what", "caption"), says(CATEGORIES)),
    Measure("no blocks: the right colours", "bare", ("what", "caption"), says(tuple(COLOURS))),
    Measure("no picture: word for word what the info says", "text", ("about", "fact", "colour", "pattern"), is_equal),
    Measure("no picture: names the right one", "text", ("about", "fact", "colour", "pattern"), names_right),
)


class Reader:
    """A folder's model and processor, answering greedily."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def answers(self, album: Album, asked: list[tuple[Case, Exchange]]) -> list[Answered]:
        """One answer a question; prompts of a batch are padded on the left."""
        out: list[Answered] = []
        for start in range(0, len(asked), 25):
            chunk = asked[start : start + 25]
            turns = [case.turns((exchange,)) for case, exchange in chunk]
            texts = [prompt_text(self.processor.tokenizer, each) for each in turns]
            parts = [part for each in turns for turn in each for part in turn.parts if isinstance(part, ImagePart)]
            images = [Image.fromarray(album.pixels[place_of(part)]) for part in parts]
            inputs = self.processor(
                text=texts, images=images or None, return_tensors="pt", padding=True, add_special_tokens=False
            )
            written = self.model.generate(**inputs, max_new_tokens=LONGEST_ANSWER, do_sample=False)
            for (case, exchange), ids in zip(chunk, written[:, inputs["input_ids"].shape[1] :], strict=True):
                text = self.processor.tokenizer.decode(ids, skip_special_tokens=True)
                ended = bool((ids == self.processor.tokenizer.eos_token_id).any())
                out.append(Answered(case, exchange, text, ended))
        return out


def questions(album: Album, rng: np.random.Generator, measure: Measure, count: int) -> list[tuple[Case, Exchange]]:
    """Cases of the measure's kind with a first question of its kinds."""
    found: list[tuple[Case, Exchange]] = []
    while len(found) < count:
        case = sample_case(album, rng, kind=measure.case, dialogues=1)
        exchange = case.dialogues[0][0]
        if exchange.kind in measure.questions:
            found.append((case, exchange))
    return found


def report(folder: Path, *, seed: int = 7, count: int = 200, samples: int = 2) -> str:
    """The share of good answers for each measure, and how often answers end and are not empty."""
    rng = np.random.default_rng(seed)
    album = draw_album(rng, split="test", things=200, shown=500)
    reader = Reader(folder)
    lines, everything = [], []
    for measure in MEASURES:
        answered = reader.answers(album, questions(album, rng, measure, count))
        everything += answered
        lines.append(f"{100 * np.mean([measure.good(a) for a in answered]):5.1f} %  {measure.title}")
        bad = [a for a in answered if not measure.good(a)][:samples]
        lines += [f"           {a.exchange.question!r} -> {a.text!r}, not {a.exchange.answer!r}" for a in bad]
    lines.append(f"{100 * np.mean([a.ended for a in everything]):5.1f} %  end by themselves")
    lines.append(f"{100 * np.mean([bool(a.text.strip()) for a in everything]):5.1f} %  are not empty")
    return "\n".join(lines)
