"""Conversations as token trees: a prompt's beginning, read once, and each conversation a branch of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from rap_serve.domain.places import BEGINNING
from rap_serve.domain.prompt import TextPart, Turn, as_text, handle, neutralised, rap_parts
from training.mllm_album import Album, picture_part
from training.mllm_ask import sample_case
from training.mllm_data import Case, Exchange
from training.mllm_export import IMAGE, TOKENS_PER_PICTURE

Cutter: TypeAlias = PreTrainedTokenizerFast

BLIND_TOKENS_PER_PICTURE = 1
TOKENS_PER_BATCH, CASES_SORTED = 4600, 64
DIALOGUES = 6
DECIDING, ORDINARY, COPYING = 3.0, 2.0, 0.5
"""Weights in the loss: of an answer's first token and of one that begins what is copied; of others; of those
that go on with what is copied, which are many and easy."""

OWN, MATCH, COPY, CHOICE, SUBJECT = range(5)
"""Kinds of hints, see ``training.mllm_hints``."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """One case as a tree: a prompt's beginning, and branches that do not see each other.

    ``ids``, ``positions``, ``branch`` (0 is the beginning) and ``weights`` (of the loss of predicting the
    token; 0 where it is given): (length,). ``pictures``: album places in the order of the image tokens.
    ``hints``: (n, 3), the kind, a token, and an earlier token that one attention head should look at from there.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    branch: NDArray[np.int64]
    weights: NDArray[np.float32]
    pictures: tuple[int, ...]
    hints: NDArray[np.int64]


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


@dataclass(frozen=True, slots=True)
class _Piece:
    """A text in tokens: ``places`` in the tree, and where each begins and ends in the text."""

    text: str
    ids: list[int]
    spans: list[tuple[int, int]]
    places: list[int]

    def find(self, words: str, start: int = 0) -> list[int]:
        """Which tokens the words take, from their first whole occurrence after ``start``; none where there is none."""
        found = re.compile(rf"(?<!\w){re.escape(words)}(?!\w)").search(self.text, start)
        if not found:
            return []
        first, last = found.span()
        return [i for i, (a, b) in enumerate(self.spans) if a >= first - 1 and b > first and b <= last]


class _Tree:
    """A case on its way into a ``Packed``."""

    def __init__(self, case: Case, tokenizer: Cutter, tokens_per_picture: int) -> None:
        self._case = case
        image = tokenizer.convert_tokens_to_ids(IMAGE)
        texts = [_beginning(case), *(_branch(dialogue) for dialogue in case.dialogues)]
        cut = tokenizer.backend_tokenizer.encode_batch(texts, add_special_tokens=False)
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.branch: list[int] = []
        self.weights: list[float] = []
        self.hints: list[tuple[int, int, int]] = []
        places: list[int] = []
        after = 0
        for token in cut[0].ids:
            places.append(len(self.ids))
            count = tokens_per_picture if token == image else 1
            self.ids += [token] * count
            self.positions += range(after, after + count)
            after += TOKENS_PER_PICTURE if token == image else 1
        self._begin = _Piece(texts[0], cut[0].ids, cut[0].offsets, places)
        self.branch, self.weights = [0] * len(self.ids), [0.0] * len(self.ids)
        self._blocks = self._find_blocks()
        self._places = self._find_places()
        for number, (dialogue, text, each) in enumerate(zip(case.dialogues, texts[1:], cut[1:], strict=True), 1):
            piece = _Piece(text, each.ids, each.offsets, list(range(len(self.ids), len(self.ids) + len(each.ids))))
            self.ids += each.ids
            self.positions += range(after, after + len(each.ids))
            self.branch += [number] * len(each.ids)
            self.weights += [0.0] * len(each.ids)
            self._hint_branch(piece, dialogue)

    def _find_blocks(self) -> list[tuple[int, int]]:
        """Where each block's name and info begin in the text; hints from its tokens to its number."""
        text, piece, starts = self._begin.text, self._begin, list[int]()
        for number in range(1, len(self._case.notes) + 1):
            starts.append(text.find(f"[{number}.<image>\n Name: ", starts[-1] if starts else 0))
        blocks = []
        for start, end in pairwise([*starts, len(text)]):
            inside = [i for i, (a, b) in enumerate(piece.spans) if a >= start and b <= end]
            number_at = piece.places[inside[1]]
            self.hints += [(OWN, piece.places[i], number_at) for i in inside[2:]]
            blocks.append((text.find("Name: ", start) + 6, text.find("Info: ", start) + 6))
        return blocks

    def _find_places(self) -> dict[int, int]:
        """Where the line of places begins to speak of each note that it speaks of; hints from its words to the name."""
        piece, found = self._begin, dict[int, int]()
        cursor = piece.text.rfind(f"]\n{BEGINNING}")
        for place, words in enumerate(self._case.place_words):
            if words:
                name = handle(self._case.notes[place].name)
                said = f" {name} is {', '.join(words)}"
                cursor = found[place] = piece.text.index(said, cursor)
                subject = piece.find(name, cursor)[-1]
                inside = [i for i, (_, b) in enumerate(piece.spans) if i > subject and b <= cursor + len(said)]
                self.hints += [(SUBJECT, piece.places[i], piece.places[subject]) for i in inside]
                self._match_names(cursor, cursor + len(said))
        return found

    def _match_names(self, start: int, end: int) -> None:
        """Names in the line of places look at the blocks that have them."""
        for note, (named_at, _) in zip(self._case.notes, self._blocks, strict=True):
            name, cursor = handle(note.name), start
            source = self._begin.find(name, named_at)
            while (cursor := self._begin.text.find(name, cursor, end)) >= 0:
                self._pair(MATCH, self._begin, self._begin.find(name, cursor), source)
                cursor += len(name)

    def _hint_branch(self, piece: _Piece, dialogue: Sequence[Exchange]) -> None:
        if self._blocks:
            last = next(key for kind, _, key in reversed(self.hints) if kind == OWN)
            self.hints += [(OWN, place, last) for place in piece.places]
        start = 0
        for exchange in dialogue:
            begin = piece.text.index("\nASSISTANT:\n", start + len(neutralised(exchange.question))) + 12
            end = begin + len(exchange.answer)
            self._hint_question(piece, exchange, start, begin)
            self._weigh(piece, begin, end)
            self._hint_copies(piece, exchange, begin)
            start = end + len("</s>USER:\n")

    def _hint_question(self, piece: _Piece, exchange: Exchange, start: int, begin: int) -> None:
        """The mention of a name looks at the block that has it; where letters are asked for, at the right one."""
        if not exchange.copied:
            return  # nothing in the blocks tells
        place, value = exchange.copied[0]
        name = self._case.notes[place].name
        for words in (handle(name), name):
            asked = [i for i in piece.find(words, start) if piece.spans[i][1] < begin]
            if asked:
                self._pair(MATCH, piece, asked, self._begin.find(words, self._blocks[place][0]))
                break
        if not exchange.chosen:
            return
        told = self._begin.find(value, self._said_at(exchange, place))
        offered = {option: piece.find(option, self._option(piece, option, start)) for option in exchange.options}
        others = {piece.ids[i] for option, found in offered.items() if option != exchange.chosen for i in found}
        right = offered[exchange.chosen]
        telling = [i for i in right if piece.ids[i] not in others] or right[-1:]
        at = next(i for i, (a, _) in enumerate(piece.spans) if a >= begin) - 1
        self.hints += [(CHOICE, piece.places[at], piece.places[i]) for i in telling[:1]]
        source = [i for i in told if telling and self._begin.ids[i] == piece.ids[telling[0]]] or told[-1:]
        self.hints += [(COPY, piece.places[at], self._begin.places[i]) for i in source[:1]]

    def _said_at(self, exchange: Exchange, place: int) -> int:
        """Where in the beginning's text the note's info begins, or what the line says of its place."""
        return self._places[place] if exchange.from_places else self._blocks[place][1]

    @staticmethod
    def _option(piece: _Piece, option: str, start: int) -> int:
        """Where the option begins, behind its letter."""
        found = re.compile(rf"[A-D][.):] {re.escape(option)}(?!\w)").search(piece.text, start)
        return found.start() + 3 if found else start

    def _weigh(self, piece: _Piece, begin: int, end: int) -> None:
        said = [i for i, (a, b) in enumerate(piece.spans) if a >= begin and (b <= end or a == end)]
        for i in said:
            self.weights[piece.places[i]] = ORDINARY
        self.weights[piece.places[said[0]]] = DECIDING

    def _hint_copies(self, piece: _Piece, exchange: Exchange, begin: int) -> None:
        """What is copied looks at where it comes from, one token ahead."""
        if exchange.chosen:
            return
        cursor = begin
        for place, words in exchange.copied:
            said = piece.find(words, cursor)
            name = words == handle(self._case.notes[place].name)
            source = self._begin.find(words, self._blocks[place][0] if name else self._said_at(exchange, place))
            if not said or len(said) != len(source):
                continue
            if name:
                self._pair(MATCH, piece, said, source)
            self._pair(COPY, piece, said, source, ahead=1)
            copied = [i for i, s in zip(said, source, strict=True) if piece.ids[i] == self._begin.ids[s]]
            for i, weight in zip(copied, chain([DECIDING], repeat(COPYING)), strict=False):
                self.weights[piece.places[i]] = weight
            cursor = piece.spans[said[-1]][1]

    def _pair(self, kind: int, piece: _Piece, tokens: list[int], source: list[int], ahead: int = 0) -> None:
        if len(tokens) == len(source):
            for i, s in zip(tokens, source, strict=True):
                if piece.ids[i] == self._begin.ids[s]:
                    self.hints.append((kind, piece.places[i - ahead], self._begin.places[s]))


def pack(case: Case, tokenizer: Cutter, tokens_per_picture: int) -> Packed:
    """The case's dialogues over their common beginning.

    With fewer tokens for a picture than it has, all that comes after it still stands where it would stand.
    """
    tree = _Tree(case, tokenizer, tokens_per_picture)
    pictures = ([case.shown.picture] if case.shown else []) + [note.avatar for note in case.notes]
    return Packed(
        np.array(tree.ids),
        np.array(tree.positions),
        np.array(tree.branch),
        np.array(tree.weights, np.float32),
        tuple(pictures),
        np.array(tree.hints, np.int64).reshape(-1, 3),
    )


def _beginning(case: Case) -> str:
    picture = picture_part(case.shown.picture) if case.shown else None
    return "<s>USER:\n" + as_text(rap_parts(picture, case.blocks, ""))


def _branch(dialogue: Sequence[Exchange]) -> str:
    """What comes after the blocks, as the chat template puts it."""
    return "USER:\n".join(f"{neutralised(e.question)}\nASSISTANT:\n{e.answer}</s>" for e in dialogue)


def batches(
    album: Album, tokenizer: Cutter, rng: np.random.Generator, *, blind: bool, negatives: bool = True
) -> Iterator[list[Packed]]:
    """Endless batches of cases alike in length, each of about ``TOKENS_PER_BATCH`` tokens."""
    count = BLIND_TOKENS_PER_PICTURE if blind else TOKENS_PER_PICTURE
    how: dict[str, Any] = {"dialogues": DIALOGUES, "blind": blind, "negatives": negatives}
    while True:
        cases = [sample_case(album, rng, **how) for _ in range(CASES_SORTED)]
        packed = sorted((pack(case, tokenizer, count) for case in cases), key=lambda p: len(p.ids))
        groups: list[list[Packed]] = [[]]
        for each in packed:
            if groups[-1] and (len(groups[-1]) + 1) * len(each.ids) > TOKENS_PER_BATCH:
                groups.append([])
            groups[-1].append(each)
        for i in rng.permutation(len(groups)):
            yield groups[int(i)]
