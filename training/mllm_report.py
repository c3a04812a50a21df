"""How well a trained tiny MLLM answers about things that it was never shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm
from transformers import AutoProcessor, LlavaForConditionalGeneration

from rap_serve.domain.prompt import ImagePart
from training.mllm_album import Album, draw_album, place_of
from training.mllm_ask import Asker
from training.mllm_data import MOST_BLOCKS, Case, CaseKind, Exchange, sample_scenery
from training.mllm_pack import prompt_text
from training.mllm_words import names_in
from training.world.things import CATEGORIES, COLOURS

LONGEST_ANSWER = 96
AT_ONCE = 20


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A question that was asked. ``ended``: the model stopped by itself."""

    case: Case
    exchange: Exchange
    text: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """A line of the report: which cases and questions, and what a good answer is.

    ``blocks``: how many, in turn. ``fits``: which of the exchanges of these kinds are meant.
    """

    title: str
    case: CaseKind
    blocks: tuple[int, ...]
    questions: tuple[str, ...]
    good: Callable[[Answered], bool]
    fits: Callable[[Case, Exchange], bool] = lambda case, exchange: True


def names_right(a: Answered) -> bool:
    """Exactly the concepts it should name, each once, and then it stops."""
    return sorted(names_in(a.text)) == sorted(a.exchange.named) and a.ended


def is_equal(a: Answered) -> bool:
    """Word for word."""
    return a.text == a.exchange.answer and a.ended


def says_yes_or_no(a: Answered) -> bool:
    """The right one of the two."""
    return a.text.split(",")[0] == a.exchange.answer.split(",")[0]


def says(words: tuple[str, ...]) -> Callable[[Answered], bool]:
    """Those of the words that the right answer has, and no others."""
    return lambda a: {w for w in words if f" {w}" in a.text} == {w for w in words if f" {w}" in a.exchange.answer}


def _yes(case: Case, exchange: Exchange) -> bool:
    return exchange.answer.startswith("Yes")


def _no(case: Case, exchange: Exchange) -> bool:
    return exchange.answer.startswith("No")


def _has_block(case: Case, exchange: Exchange) -> bool:
    return _no(case, exchange) and any(note.name in exchange.question for note in case.notes)


def _learned(case: Case, exchange: Exchange) -> bool:
    return any(f" {category}" in exchange.answer for category in CATEGORIES)


ANY, MANY = tuple(range(1, MOST_BLOCKS + 1)), (2, 3, 4)
OPEN, ASKED = ("what", "caption", "which"), ("detail", "about")
MEASURES = (
    *(
        Measure(f"what, caption, which; {n} blocks: each named once, nothing else", "known", (n,), OPEN, names_right)
        for n in ANY
    ),
    Measure("what, caption; one block: the info's description word for word", "known", (1,), OPEN[:2], is_equal),
    Measure("recognition, a block of it: yes", "known", ANY, ("present",), says_yes_or_no, _yes),
    Measure("recognition, only blocks of others: no", "known", ANY, ("present",), says_yes_or_no, _no),
    Measure("recognition, no blocks: no", "bare", (1,), ("present",), says_yes_or_no),
    Measure("multiple choice, picture and one block", "known", (1,), ("choice",), is_equal),
    Measure("multiple choice, picture and two to four blocks", "known", MANY, ("choice",), is_equal),
    Measure("multiple choice, no picture, one block", "text", (1,), ("choice",), is_equal),
    Measure("multiple choice, no picture, two to four blocks", "text", MANY, ("choice",), is_equal),
    Measure("open questions, picture and one block: the whole answer", "known", (1,), ASKED, is_equal),
    Measure("open questions, picture and two to four blocks: the whole answer", "known", MANY, ASKED, is_equal),
    Measure("open questions, no picture, one block: the whole answer", "text", (1,), ASKED, is_equal),
    Measure("open questions, no picture, two to four blocks: the whole answer", "text", MANY, ASKED, is_equal),
    Measure("a name that nobody has: says so", "text", ANY, ("unknown",), is_equal),
    Measure("where a thing is, one block", "known", (1,), ("where",), is_equal),
    Measure("where a thing is, two to four blocks", "known", MANY, ("where",), is_equal),
    Measure("no blocks: names none", "bare", (1,), OPEN, names_right),
    Measure("no blocks: the right categories", "bare", (1,), ("what", "caption"), says(CATEGORIES), _learned),
    Measure("no blocks: the right colours", "bare", (1,), ("what", "caption"), says(tuple(COLOURS)), _learned),
    Measure("no blocks, one thing: what colour, what kind", "bare", (1,), ("seen",), is_equal, _learned),
    Measure("right and wrong blocks: only the right ones named", "mixed", (1, 2), OPEN, names_right),
    Measure("only wrong blocks: none named", "wrong", (1, 2), OPEN, names_right),
    Measure(
        "recognition, a block of it, but it is not there: no", "mixed", (1,), ("present",), says_yes_or_no, _has_block
    ),
    Measure("recognition, a wrong block beside it: yes", "mixed", (1,), ("present",), says_yes_or_no, _yes),
)


class Reader:
    """A folder's model and processor, answering greedily."""

    def __init__(self, folder: Path) -> None:
        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()

    def answers(self, album: Album, asked: list[tuple[Case, Exchange]]) -> list[Answered]:
        """One answer a question, some at once."""
        return [a for n in range(0, len(asked), AT_ONCE) for a in self._some(album, asked[n : n + AT_ONCE])]

    @torch.inference_mode()
    def _some(self, album: Album, asked: list[tuple[Case, Exchange]]) -> list[Answered]:
        turns = [case.turns((exchange,)) for case, exchange in asked]
        texts = [prompt_text(self.processor.tokenizer, each) for each in turns]
        parts = [part for each in turns for turn in each for part in turn.parts if isinstance(part, ImagePart)]
        images = [Image.fromarray(album.pixels[place_of(part)]) for part in parts]
        inputs = self.processor(
            text=texts, images=images or None, return_tensors="pt", padding=True, add_special_tokens=False
        )
        written = self.model.generate(**inputs, max_new_tokens=LONGEST_ANSWER, do_sample=False)
        tokenizer, begin = self.processor.tokenizer, inputs["input_ids"].shape[1]
        return [
            Answered(
                case,
                exchange,
                tokenizer.decode(ids, skip_special_tokens=True),
                bool((ids == tokenizer.eos_token_id).any()),
            )
            for (case, exchange), ids in zip(asked, written[:, begin:], strict=True)
        ]


def questions(album: Album, rng: np.random.Generator, measure: Measure, count: int) -> list[tuple[Case, Exchange]]:
    """``count`` cases of the measure's kind, each with a question that it means."""
    found: list[tuple[Case, Exchange]] = []
    while len(found) < count:
        blocks = measure.blocks[len(found) % len(measure.blocks)]
        case = sample_scenery(album, rng, kind=measure.case, blocks=blocks, plain=True)
        kind = measure.questions[int(rng.integers(len(measure.questions)))]
        exchange = Asker(album, rng, case).exchange(kind)
        if measure.fits(case, exchange):
            found.append((replace(case, dialogues=((exchange,),)), exchange))
    return found


def report(folder: Path, *, seed: int = 7, count: int = 200, samples: int = 2) -> str:
    """The share of good answers for each measure, and how often answers end and are not empty."""
    rng = np.random.default_rng(seed)
    album = draw_album(rng, split="test", things=200, shown=600)
    reader = Reader(folder)
    lines: list[str] = []
    everything: list[Answered] = []
    for measure in tqdm(MEASURES):
        answered = reader.answers(album, questions(album, rng, measure, count))
        everything += answered
        lines.append(f"{100 * np.mean([measure.good(a) for a in answered]):5.1f} %  {measure.title}")
        bad = [a for a in answered if not measure.good(a)][:samples]
        lines += [f"           {a.exchange.question!r} -> {a.text!r}, not {a.exchange.answer!r}" for a in bad]
    lines.append(f"{100 * np.mean([a.ended for a in everything]):5.1f} %  end by themselves")
    lines.append(f"{100 * np.mean([bool(a.text.strip()) for a in everything]):5.1f} %  are not empty")
    return "\n".join(lines)
