"""Cases to learn from: what a prompt shows, the owner's notes in it, and conversations about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

import numpy as np

from rap_serve.domain.places import place_words
from rap_serve.domain.prompt import ConceptBlock, TextPart, Turn, handle, rap_parts
from rap_serve.domain.region import BoxShares
from training import mllm_words as words
from training.mllm_album import Album, Shown, any_box, picture_part
from training.mllm_sayings import Saying, any_fact, saying_of, sayings_of
from training.mllm_words import Told
from training.world.facts import Fact, sample_fact

CaseKind: TypeAlias = Literal["known", "mixed", "wrong", "bare", "text", "talk"]
"""Blocks of things on the picture; among others; only others; none; without a picture; nothing at all."""

MOST_BLOCKS = 6
SHARES: dict[CaseKind, float] = {"known": 0.56, "mixed": 0.05, "wrong": 0.04, "bare": 0.16, "text": 0.17, "talk": 0.02}
BLIND_SHARES: dict[CaseKind, float] = {"known": 0.58, "bare": 0.04, "text": 0.35, "talk": 0.03}
NO_LINE, UNPLACED, STRANGER_UNPLACED = 0.15, 0.05, 0.3
"""How many prompts say nothing of places, and how many notes on the picture and not on it have none in others."""

FACT_SHARES = (0.3, 0.45, 0.15, 0.1)
BLOCK_SHARES = (0.28, 0.2, 0.16, 0.14, 0.12, 0.1)


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """A concept of the owner: thing and avatar are places in the album."""

    thing: int
    avatar: int
    name: str
    info: str
    told: Told
    sayings: tuple[Saying, ...] = ()
    facts: tuple[Saying, ...] = ()

    def block(self, box: BoxShares | None) -> ConceptBlock:
        """As serving puts it into a prompt. ``box``: where the picture shows it, if the prompt is to say so."""
        return ConceptBlock(self.name, self.info, picture_part(self.avatar), box)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer. ``named``: the names in the answer, without brackets, in order.

    ``copied``: what the answer takes from notes, in order, as (place of the note, text), or, but for names, from the
    line of places where ``from_places``; ``chosen`` is the text of the right one of ``options``, where the question
    has any. All only help training along.
    """

    question: str
    answer: str
    named: tuple[str, ...] = ()
    kind: str = "what"
    copied: tuple[tuple[int, str], ...] = ()
    chosen: str = ""
    options: tuple[str, ...] = ()
    from_places: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What a prompt shows, and several conversations about it, each of one or two exchanges."""

    shown: Shown | None
    notes: tuple[Note, ...]
    present: tuple[int, ...] = ()
    """Places of the notes whose thing is on the picture."""

    dialogues: tuple[tuple[Exchange, ...], ...] = field(default=())

    boxes: tuple[BoxShares | None, ...] = ()
    """Of each note what the prompt says of its place; None where it says nothing."""

    @property
    def blocks(self) -> list[ConceptBlock]:
        """The notes as the prompt holds them."""
        boxes = self.boxes or (None,) * len(self.notes)
        return [note.block(box) for note, box in zip(self.notes, boxes, strict=True)]

    @property
    def place_words(self) -> tuple[tuple[str, ...], ...]:
        """What the prompt says of each note's place."""
        words = place_words([(handle(b.name), b.box) for b in self.blocks if b.box]) if self.shown else {}
        return tuple(tuple(words.get(handle(note.name), ())) for note in self.notes)

    def turns(self, dialogue: Sequence[Exchange]) -> list[Turn]:
        """The conversation up to the last question, as serving arranges it."""
        picture = picture_part(self.shown.picture) if self.shown else None
        turns: list[Turn] = []
        for i, exchange in enumerate(dialogue):
            blocks = self.blocks if i == 0 else []
            turns.append(Turn("user", rap_parts(picture if i == 0 else None, blocks, exchange.question)))
            turns.append(Turn("assistant", (TextPart(exchange.answer),)))
        return turns[:-1]


def sample_scenery(
    album: Album, rng: np.random.Generator, *, kind: CaseKind, blocks: int | None = None, plain: bool = False
) -> Case:
    """A case of ``kind`` that nobody has asked about yet, with ``blocks`` blocks where that is given.

    ``plain``: names and infos are what the world writes, and one fact, as evaluation has them.
    """
    count = blocks or 1 + int(rng.choice(MOST_BLOCKS, p=BLOCK_SHARES))
    shown, present, absent = _parts(album, rng, kind, count)
    names = words.any_names(rng, len(present) + len(absent), plain=plain)
    notes = [note(album, rng, thing, name, plain) for thing, name in zip((*present, *absent), names, strict=True)]
    order = [int(i) for i in rng.permutation(len(notes))]
    there = tuple(place for place, i in enumerate(order) if i < len(present))
    boxes = _told_boxes(rng, shown, present, absent, plain)
    return Case(shown, tuple(notes[i] for i in order), there, boxes=tuple(boxes[i] for i in order))


def _parts(
    album: Album, rng: np.random.Generator, kind: CaseKind, count: int
) -> tuple[Shown | None, tuple[int, ...], tuple[int, ...]]:
    """The picture, the things on it that have a block, and those not on it that have one."""
    if kind in ("text", "talk"):
        chosen = rng.choice(len(album.things), count if kind == "text" else 0, replace=False)
        return None, (), tuple(int(i) for i in chosen)
    known = {"known": count, "mixed": min(count, 2)}.get(kind, 0)
    shown = album.pick_shown(rng, at_least=max(1, known))
    present = tuple(int(i) for i in rng.permutation(shown.things))[:known]
    strangers = {"mixed": 1 + int(rng.integers(3)), "wrong": min(count, 3)}.get(kind, 0)
    return shown, present, _strangers(album, rng, shown, strangers)


def _told_boxes(
    rng: np.random.Generator, shown: Shown | None, present: tuple[int, ...], absent: tuple[int, ...], plain: bool
) -> list[BoxShares | None]:
    """What a prompt says of the places of what is there, and then of what is not: serving mistakes others for it."""
    if shown is None or (not plain and rng.random() < NO_LINE):
        return [None] * (len(present) + len(absent))
    box_of = dict(zip(shown.things, shown.boxes, strict=True))
    free = [box_of[thing] for thing in shown.things if thing not in present]
    mistaken = [free.pop() if free else any_box(rng) for _ in absent]
    unplaced = [UNPLACED] * len(present) + [STRANGER_UNPLACED] * len(absent)
    boxes = [*(box_of[thing] for thing in present), *mistaken]
    return [None if not plain and rng.random() < share else box for box, share in zip(boxes, unplaced, strict=True)]


def _strangers(album: Album, rng: np.random.Generator, shown: Shown, count: int) -> tuple[int, ...]:
    """Things of other categories than those on the picture."""
    taken = {album.things[i].category for i in shown.things}
    found: list[int] = []
    while len(found) < count:
        other = int(rng.integers(len(album.things)))
        if album.things[other].category not in taken and other not in found:
            found.append(other)
    return tuple(found)


def note(album: Album, rng: np.random.Generator, thing: int, name: str, plain: bool = False) -> Note:
    """A concept for the thing; its info may describe it, say anything at all, or be empty."""
    kind = 0.0 if plain else rng.random()
    if kind < 0.5:
        told = words.told_of(album.things[thing], rng)
    elif kind < 0.97:
        told = words.invented(rng) if kind < 0.85 else words.odd(rng)
    else:
        told = Told()
    info = words.written(name, told.phrase, rng, plain=plain) if told.phrase else ""
    facts = _facts(rng, 1, sample_fact) if plain else _facts(rng, int(rng.choice(4, p=FACT_SHARES)), any_fact)
    if facts and info[-1:].isalnum():
        info += "."
    info = " ".join([info, *(sentence for sentence, _ in facts)]).strip()
    avatar = album.avatars[thing][int(rng.integers(len(album.avatars[thing])))]
    return Note(thing, avatar, name, info, told, tuple(sayings_of(told)), tuple(said for _, said in facts))


def _facts(
    rng: np.random.Generator, count: int, source: Callable[[np.random.Generator], Fact]
) -> list[tuple[str, Saying]]:
    """Facts that answer different questions, each with its sentence."""
    found: list[tuple[str, Saying]] = []
    asked: set[str] = set()
    while len(found) < count:
        fact = source(rng)
        if not asked & set(fact.questions):
            asked |= set(fact.questions)
            found.append((fact.sentence, saying_of(fact)))
    return found


def case_kind(rng: np.random.Generator, *, blind: bool, negatives: bool = True) -> CaseKind:
    """A kind of case by its share in training. ``negatives`` off: only those whose blocks are all to be spoken of."""
    shares = BLIND_SHARES if blind else SHARES
    kinds: tuple[CaseKind, ...] = tuple(kind for kind in get_args(CaseKind) if kind in shares)
    if not negatives:
        kinds = tuple(kind for kind in kinds if kind in ("known", "text"))
    weights = np.array([shares[kind] for kind in kinds])
    return kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
