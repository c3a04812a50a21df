"""Conversations about personal things, through the prompt layout that serving uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rap_serve.domain.prompt import ConceptBlock, TextPart, Turn, handle, rap_parts
from training import mllm_words as words
from training.mllm_album import Album, Shown, blind_album, picture_part
from training.mllm_words import Fact, joined, pick
from training.world.text import caption
from training.world.things import CATEGORIES, Thing


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """A concept of the owner: thing and avatar are places in the album, ``phrase`` is what the info says it is."""

    thing: int
    avatar: int
    name: str
    phrase: str
    info: str
    plain: bool
    fact: Fact | None = None

    @property
    def block(self) -> ConceptBlock:
        return ConceptBlock(self.name, self.info, picture_part(self.avatar))

    @property
    def introduced(self) -> str:
        """ "<bo>, a red mug"."""
        return f"{handle(self.name)}, {self.phrase}" if self.phrase else handle(self.name)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer. ``named``: the names in the answer, without brackets."""

    question: str
    answer: str
    named: tuple[str, ...] = ()
    kind: str = "what"


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What a prompt shows, and several conversations about it, each of one or two exchanges."""

    shown: Shown | None
    notes: tuple[Note, ...]
    dialogues: tuple[tuple[Exchange, ...], ...] = field(default=())

    def turns(self, dialogue: Sequence[Exchange]) -> list[Turn]:
        """The conversation up to the last question, as serving arranges it."""
        picture = picture_part(self.shown.picture) if self.shown else None
        turns: list[Turn] = []
        for i, exchange in enumerate(dialogue):
            blocks = [note.block for note in self.notes] if i == 0 else []
            turns.append(Turn("user", rap_parts(picture if i == 0 else None, blocks, exchange.question)))
            turns.append(Turn("assistant", (TextPart(exchange.answer),)))
        return turns[:-1]


def sample_case(
    album: Album, rng: np.random.Generator, *, kind: str | None = None, dialogues: int = 5, blind: bool = False
) -> Case:
    """A case of ``kind``: one, several, mixed, wrong, bare, text or talk. ``blind``: nothing that needs eyes."""
    kinds, shares = ("one", "several", "mixed", "wrong", "bare", "text", "talk"), (46, 14, 6, 8, 9, 13, 4)
    if blind:
        kinds, shares = ("one", "several", "text", "talk"), (50, 18, 28, 4)
    kind = kind or pick(rng, tuple(k for k, share in zip(kinds, shares, strict=True) for _ in range(share)))
    shown, present, absent = _parts(album, rng, kind, blind)
    names = _names(rng, len(present) + len(absent))
    notes = tuple(note(album, rng, thing, name) for thing, name in zip((*present, *absent), names, strict=True))
    order = rng.permutation(len(notes))
    there = tuple(notes[i] for i in order if i < len(present))
    asked = _Asked(album, rng, shown, there, tuple(notes[i] for i in order if i >= len(present)), blind)
    return Case(shown, tuple(notes[i] for i in order), tuple(asked.dialogue() for _ in range(dialogues)))


def _parts(
    album: Album, rng: np.random.Generator, kind: str, blind: bool
) -> tuple[Shown | None, tuple[int, ...], tuple[int, ...]]:
    """The picture, the things on it that have a block, and those not on it that have one."""
    if kind in ("text", "talk"):
        count = 0 if kind == "talk" or rng.random() < 0.05 else int(rng.choice([1, 2, 3, 4], p=[0.62, 0.22, 0.1, 0.06]))
        return None, (), tuple(int(i) for i in rng.choice(len(album.things), count, replace=False))
    while True:
        shown = album.shown[int(rng.integers(len(album.shown)))]
        if len(shown.things) == 1 if kind == "one" and blind else kind != "several" or len(shown.things) > 1:
            break
    on = tuple(int(i) for i in rng.permutation(shown.things))
    many = len(on) if blind or rng.random() < 0.7 else 2
    present = on[: {"one": 1, "several": many, "mixed": 1}.get(kind, 0)]
    more, wrong = int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])), 1 if rng.random() < 0.75 else 2
    strangers = {"mixed": more, "wrong": wrong}.get(kind, 0)
    if kind == "several" and not blind and rng.random() < 0.15:
        strangers = 1
    absent: list[int] = []
    taken = {album.things[i].category for i in shown.things}
    while len(absent) < strangers:
        other = int(rng.integers(len(album.things)))
        if album.things[other].category not in taken and other not in absent:
            absent.append(other)
    return shown, present, tuple(absent)


def _names(rng: np.random.Generator, count: int) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        name = words.any_name(rng)
        if name.lower() not in {n.lower() for n in names} and handle(name) == f"<{name}>":
            names.append(name)
    return names


def note(album: Album, rng: np.random.Generator, thing: int, name: str) -> Note:
    """A concept for the thing; now and then its info says nothing, or nothing one can see."""
    kind = rng.random()
    plain = kind < 0.62
    phrase = "" if kind > 0.97 else words.told(album.things[thing] if plain else None, rng)
    info = words.written(name, phrase, rng) if phrase else ""
    fact = words.sample_fact(rng) if rng.random() < 0.3 else None
    if fact:
        info = f"{info} {fact.sentence}".strip()
    return Note(thing, pick_place(rng, album.avatars[thing]), name, phrase, info, plain, fact)


def pick_place(rng: np.random.Generator, places: tuple[int, ...]) -> int:
    """One of the places."""
    return places[int(rng.integers(len(places)))]


_ASKED = ("what",) * 10 + ("caption",) * 6 + ("about",) * 5 + ("colour",) + ("see",) * 6 + ("which",) * 2


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Questions about one picture and its notes, with their answers."""

    album: Album
    rng: np.random.Generator
    shown: Shown | None
    present: tuple[Note, ...]
    absent: tuple[Note, ...]
    blind: bool

    def dialogue(self) -> tuple[Exchange, ...]:
        if self.rng.random() < 0.12:
            return (self._exchange(), self._exchange())
        return (self._exchange(),)

    def _exchange(self) -> Exchange:
        rng = self.rng
        if self.shown is None:
            return self._about(pick_note(rng, self.absent)) if self.absent else self._talk()
        kind = pick(rng, _ASKED)
        if self.blind and kind in ("see", "which"):
            kind = "what"
        if kind == "about":
            known = self.present or self.absent
            return self._about(pick_note(rng, known)) if known else self._what("what")
        if kind == "colour":
            return self._colour()
        return self._look() if kind == "see" else self._what(kind)

    def _what(self, kind: str) -> Exchange:
        assert self.shown is not None
        rng, known = self.rng, self.present
        items = [n.introduced for n in known] or self._strangers()
        options = {"what": words.WHAT, "caption": words.CAPTION, "which": words.WHICH}
        question = pick(rng, options[kind])
        if kind == "which" and not known:
            return Exchange(question, f"None of your things is here. I see {joined(items)}.", (), kind)
        if kind == "which":
            answer = f"I see {joined([handle(n.name) for n in known])}."
        elif kind == "caption":
            answer = f"The picture shows {joined_apart(items)}."
        else:
            answer = f"{'This is' if len(items) == 1 else 'I see'} {joined_apart(items)}."
        return Exchange(question, answer, tuple(n.name for n in known), kind)

    def _strangers(self) -> list[str]:
        """What is on the picture, without names, from left to right."""
        assert self.shown is not None
        places = sorted(zip(self.shown.middles, self.shown.things, strict=True))
        return [caption(self.album.things[i]) for _, i in places]

    def _look(self) -> Exchange:
        """Is it there, and where? Half of the time it is not, where there is one that is not."""
        assert self.shown is not None
        rng = self.rng
        if not self.present and not self.absent:
            return self._what("what")
        here = bool(self.present) and (not self.absent or rng.random() < 0.5)
        chosen = pick_note(rng, self.present if here else self.absent)
        mention = self._mention(chosen)
        if rng.random() < 0.3:
            question = pick(rng, words.WHERE).format(mention)
            if not here:
                return Exchange(question, words.ABSENT, (), "where")
            middle = self.shown.middles[self.shown.things.index(chosen.thing)]
            return Exchange(question, f"{handle(chosen.name)} is {side_of(middle)}.", (chosen.name,), "where")
        question = pick(rng, words.PRESENT).format(mention)
        if here:
            return Exchange(question, f"Yes, {handle(chosen.name)} is in the picture.", (chosen.name,), "present")
        return Exchange(question, f"No, I see {joined(self._strangers())}.", (), "present")

    def _about(self, chosen: Note) -> Exchange:
        rng, name = self.rng, handle(chosen.name)
        thing, mention = self.album.things[chosen.thing], self._mention(chosen)
        kind = rng.random()
        if chosen.fact and kind < 0.4:
            question = pick(rng, chosen.fact.questions).format(mention)
            return Exchange(question, f"{name} {chosen.fact.answer}.", (chosen.name,), "fact")
        if chosen.plain and chosen.phrase and kind < 0.55:
            question = pick(rng, words.COLOUR).format(mention)
            return Exchange(question, f"{name} is {thing.base}.", (chosen.name,), "colour")
        if chosen.plain and chosen.phrase and kind < 0.7:
            question = pick(rng, words.PATTERN).format(mention)
            worn = "is plain" if thing.pattern == "plain" else f"has {pattern_words(thing)}"
            return Exchange(question, f"{name} {worn}.", (chosen.name,), "pattern")
        question = pick(rng, words.ABOUT).format(mention)
        says = f" is {chosen.phrase}" if chosen.phrase else " is one of your things"
        rest = f" {name} {chosen.fact.answer}." if chosen.fact else ""
        return Exchange(question, f"{name}{says}.{rest}", (chosen.name,), "about")

    def _colour(self) -> Exchange:
        assert self.shown is not None
        known = [n for n in self.present if n.plain and n.phrase]
        if len(self.shown.things) > 1 or (self.blind and not known):
            return self._what("what")
        thing = self.album.things[self.shown.things[0]]
        word = pick(self.rng, ("it", "this", "the thing", f"the {thing.category}"))
        question = pick(self.rng, words.COLOUR).format(word)
        return Exchange(question, f"It is {thing.base}.", (), "colour")

    def _talk(self) -> Exchange:
        kind = self.rng.random()
        if kind < 0.25:
            question = pick(self.rng, words.ABOUT).format(f"<{words.any_name(self.rng)}>")
            return Exchange(question, words.UNKNOWN, (), "talk")
        if kind < 0.5:
            form = pick(self.rng, words.ODD)
            question = form.format(*(words.any_word(self.rng) for _ in range(form.count("{}"))))
            return Exchange(question, words.ODD_ANSWER, (), "talk")
        question, answer = words.TALK[int(self.rng.integers(len(words.TALK)))]
        return Exchange(question, answer, (), "talk")

    def _mention(self, chosen: Note) -> str:
        return chosen.name if self.rng.random() < 0.25 else handle(chosen.name)


def pick_note(rng: np.random.Generator, notes: tuple[Note, ...]) -> Note:
    """One of the notes."""
    return notes[int(rng.integers(len(notes)))]


def joined_apart(items: list[str]) -> str:
    """ "a" or "a, and b": descriptions that hold commas stay apart."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])}, and {items[-1]}"


def side_of(middle: tuple[float, float]) -> str:
    """In words, where in the picture."""
    x, y = middle
    if abs(x - 0.5) < 0.14 and abs(y - 0.5) < 0.14:
        return "in the middle"
    if abs(x - 0.5) >= abs(y - 0.5):
        return "on the left" if x < 0.5 else "on the right"
    return "at the top" if y < 0.5 else "at the bottom"


def pattern_words(thing: Thing) -> str:
    """As ``describe`` writes it: "white dots"."""
    return f"a wide {thing.accent} band" if thing.pattern == "a wide band" else f"{thing.accent} {thing.pattern}"


def corpus(rng: np.random.Generator, *, cases: int) -> list[str]:
    """Texts for the tokenizer: infos, questions and answers, and words that names may hold."""
    album = blind_album(rng, things=500)
    texts: list[str] = []
    for _ in range(cases):
        case = sample_case(album, rng)
        texts += [f"[1.\n Name: {handle(n.name)}, Info: {n.info}]\n" for n in case.notes]
        texts += [f"USER:\n{e.question}\nASSISTANT:\n{e.answer}" for d in case.dialogues for e in d]
    texts += [f"{words.any_word(rng)} {category}" for category in CATEGORIES for _ in range(20)]
    return texts
