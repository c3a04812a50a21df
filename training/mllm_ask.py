"""Questions about a case, with the answers that the tiny MLLM is to give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rap_serve.domain.places import sides
from rap_serve.domain.prompt import handle
from rap_serve.domain.region import BoxShares
from training import mllm_questions as asking
from training.mllm_album import Album, blind_album
from training.mllm_data import Case, CaseKind, Exchange, Note, case_kind, sample_scenery
from training.mllm_looks import looks_of, placed, seen
from training.mllm_sayings import Saying, bare
from training.mllm_words import alike, any_name, joined, joined_apart, pick
from training.world.facts import any_word
from training.world.text import caption
from training.world.things import CATEGORIES, Thing

SECOND = 0.1
"""How many conversations have a second question."""

BARE_NAMES = 0.12
"""How many names in questions stand without brackets."""

_SHOWN = {"what": 3.0, "caption": 3.0, "which": 1.5, "present": 3.5, "about": 1.5, "detail": 3.5, "choice": 4.0}
_PLACES = {"where": 1.2, "place": 3.5}
_EYES = {"looks": 1.2, "unknown": 0.7}
_BARE = {"what": 4.0, "caption": 4.0, "which": 1.5, "present": 2.0, "seen": 4.0, "unknown": 0.5}
_BARE_BLIND = {"which": 1.5, "present": 2.0, "unknown": 1.0}
_TEXT = {"about": 2.0, "detail": 5.0, "choice": 5.0, "unknown": 0.8}


def sample_case(
    album: Album,
    rng: np.random.Generator,
    *,
    kind: CaseKind | None = None,
    blocks: int | None = None,
    dialogues: int = 5,
    blind: bool = False,
    negatives: bool = True,
) -> Case:
    """A case with conversations. ``blind``: nothing that needs eyes. ``negatives`` off: nothing to be denied."""
    kind = kind or case_kind(rng, blind=blind, negatives=negatives)
    asker = Asker(album, rng, case := sample_scenery(album, rng, kind=kind, blocks=blocks), blind, negatives)
    return replace(case, dialogues=tuple(asker.dialogue() for _ in range(dialogues)))


@dataclass(frozen=True, slots=True, eq=False)
class Asker:
    """Asks about one case."""

    album: Album
    rng: np.random.Generator
    case: Case
    blind: bool = False
    negatives: bool = True

    def dialogue(self) -> tuple[Exchange, ...]:
        """One exchange, now and then two."""
        return tuple(self.exchange() for _ in range(2 if self.rng.random() < SECOND else 1))

    def exchange(self, kind: str | None = None) -> Exchange:
        """A question of the kind, or of one that suits the case, with its answer."""
        if kind is None:
            if not self.case.notes and self.case.shown is None:
                return self._talk()
            shares = self._shares()
            kind = str(self.rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
        makers: dict[str, Callable[[], Exchange]] = {
            "which": self._which, "present": self._present, "about": self._about, "detail": self._detail,
            "choice": self._choice, "where": self._where, "place": self._place, "looks": self._looks,
            "unknown": self._unknown, "seen": self._seen,
        }  # fmt: skip
        made = makers[kind]() if kind in makers else self._what(kind)
        return replace(made, question=asking.put(self.rng, made.question)) if not made.options else made

    def _shares(self) -> dict[str, float]:
        shares = self._every_share()
        return shares if self.negatives else {kind: share for kind, share in shares.items() if kind != "unknown"}

    def _every_share(self) -> dict[str, float]:
        if self.case.shown is None:
            return _TEXT
        if not self.case.notes:
            return _BARE_BLIND if self.blind else _BARE
        if self.blind:
            return _SHOWN | _PLACES if self._placed() else _SHOWN
        return _SHOWN | _PLACES | _EYES

    def _what(self, kind: str) -> Exchange:
        """One thing with its description, two with a short one in captions, more by their names alone."""
        question = pick(self.rng, asking.CAPTION if kind == "caption" else asking.WHAT)
        known = [self.case.notes[i] for i in self.case.present]
        begin = "The picture shows" if kind == "caption" else "This is" if len(known) == 1 else "I see"
        if not known:
            begin = "This is" if kind == "what" and len(self._seen_things()) == 1 else begin
            return Exchange(question, f"{begin} {joined_apart([caption(t) for t in self._seen_things()])}.", (), kind)
        items, copied = [], []
        for place, note in zip(self.case.present, known, strict=True):
            told = note.told.phrase if len(known) == 1 else note.told.core if kind == "caption" else ""
            short = len(known) > 2 or not told
            items.append(handle(note.name) if short else f"{handle(note.name)}, {told}")
            copied += [(place, handle(note.name))] + ([] if short else [(place, told)])
        answer = f"{begin} {joined_apart(items) if ', ' in items[0] else joined(items)}."
        return Exchange(question, answer, tuple(n.name for n in known), kind, tuple(copied))

    def _which(self) -> Exchange:
        question, known = pick(self.rng, asking.WHICH), self.case.present
        if not known:
            return Exchange(question, asking.NOTHING, (), "which")
        names = tuple(self.case.notes[i].name for i in known)
        copied = tuple((i, handle(name)) for i, name in zip(known, names, strict=True))
        return Exchange(question, f"I see {joined([handle(n) for n in names])}.", names, "which", copied)

    def _present(self) -> Exchange:
        """Is it there? Not where it has no block, nor where its block is of something else."""
        rng, notes = self.rng, self.case.notes
        question = pick(rng, asking.PRESENT)
        if rng.random() < 0.35:
            question += " " + pick(rng, asking.YES_OR_NO)
        strangers = [i for i in range(len(notes)) if i not in self.case.present]
        kinds = ["here"] * 5 if self.case.present else []
        if self.negatives:
            kinds += ["nobody"] * 4 + (["stranger"] * 5 if strangers else [])
        kind = pick(rng, tuple(kinds))
        if kind == "here":
            place = int(rng.choice(self.case.present))
            name = handle(notes[place].name)
            answer = f"Yes, {name} is in the picture."
            question = question.format(self._mention(place))
            return Exchange(question, answer, (notes[place].name,), "present", ((place, name),))
        absent = self._mention(int(rng.choice(strangers))) if kind == "stranger" else f"<{self._stranger()}>"
        return Exchange(question.format(absent), asking.ABSENT, (), "present")

    def _where(self) -> Exchange:
        question = pick(self.rng, asking.WHERE)
        if not self.case.present or (self.rng.random() < 0.1 and self.negatives):
            return Exchange(question.format(f"<{self._stranger()}>"), asking.NOT_THERE, (), "where")
        place = self._place_of_one()
        name = handle(self.case.notes[place].name)
        words, told = ", ".join(sides(self._box(place))), bool(self.case.place_words[place])
        copied = ((place, name), *(((place, words),) if told else ()))
        question = question.format(self._mention(place))
        named = (self.case.notes[place].name,)
        return Exchange(question, f"{name} is {words}.", named, "where", copied, from_places=told)

    def _about(self) -> Exchange:
        place = int(self.rng.integers(len(self.case.notes)))
        note = self.case.notes[place]
        name, told, facts = handle(note.name), note.told.phrase, note.facts[:1]
        question = pick(self.rng, asking.ABOUT).format(self._mention(place))
        ends = [f"is {told}"] if told else []
        ends += [fact.end for fact in facts] if facts else [] if told else ["is one of your things"]
        copied = [(place, name)] + ([(place, told)] if told else [])
        if told:
            copied += [(place, name)] if facts else []
        copied += [(place, fact.value) for fact in facts]
        return Exchange(question, " ".join(f"{name} {e}." for e in ends), (note.name,), "about", tuple(copied))

    def _detail(self) -> Exchange:
        place, said = self._saying()
        if said is None:
            return self._about()
        note = self.case.notes[place]
        question = pick(self.rng, said.questions).format(self._mention(place, "it"))
        copied = ((place, handle(note.name)), (place, said.value))
        kind = "fact" if said.kind == "fact" else "attribute"
        return Exchange(question, f"{handle(note.name)} {said.end}.", (note.name,), kind, copied)

    def _choice(self) -> Exchange:
        """Options as the info words them, or without article and colour."""
        place, said = self._saying()
        if said is None:
            return self._about()
        form = bare if self.rng.random() < (0.33 if said.kind == "fact" else 0.67) else str
        right, wrong = self._options(said, form)
        questions = said.questions
        if self.rng.random() < 0.15 and not any(other in self.case.notes[place].info for other in wrong):
            questions = asking.HAS if said.kind in ("pattern", "part", "extra") else asking.TRUE
        question = pick(self.rng, questions)
        return self._lettered("choice", place, question, right, wrong, ((place, said.value),))

    def _options(self, said: Saying, form: Callable[[str], str]) -> tuple[str, list[str]]:
        """What is right, and one to three others."""
        right, wrong = form(said.value), list[str]()
        count = int(self.rng.integers(1, 4))
        for _ in range(20):
            other = form(said.rivals(self.rng))
            if len(wrong) < count and other != right and other not in wrong:
                wrong.append(other)
        return right, wrong

    def _lettered(
        self,
        kind: str,
        place: int,
        question: str,
        right: str,
        wrong: list[str],
        copied: tuple[tuple[int, str], ...] = (),
    ) -> Exchange:
        question = asking.put(self.rng, question).format(self._mention(place, "it"))
        question, letter = asking.with_choices(self.rng, question, right, wrong)
        return Exchange(question, letter, (), kind, copied, right, (right, *wrong))

    def _place(self) -> Exchange:
        """On which side, at which end, or to which side of another?"""
        if not self.case.present:
            return self._where()
        place = self._place_of_one()
        others = [(handle(self.case.notes[i].name), self._box(i)) for i in self.case.present if i != place]
        said = self.case.place_words[place]
        asked = placed(self.rng, self._box(place), others, only=said if self.blind else None)
        told = asked.value in said
        copied = ((place, asked.value),) if told else ()
        made = self._lettered("place", place, asked.question, asked.right, list(asked.wrong), copied)
        return replace(made, from_places=told)

    def _placed(self) -> tuple[int, ...]:
        """The notes on the picture of whose place the prompt speaks."""
        return tuple(i for i in self.case.present if self.case.place_words[i])

    def _place_of_one(self) -> int:
        """A note on the picture; while blind, one of whose place the prompt speaks."""
        return int(self.rng.choice(self._placed() if self.blind else self.case.present))

    def _box(self, place: int) -> BoxShares:
        shown = self.case.shown
        assert shown is not None
        return shown.boxes[shown.things.index(self.case.notes[place].thing)]

    def _looks(self) -> Exchange:
        """What the picture shows of a thing and its info does not say."""
        if not self.case.present:
            return self._present()
        place = int(self.rng.choice(self.case.present))
        note = self.case.notes[place]
        unsaid = looks_of(self.album.things[note.thing], note.told, note.info)
        if not unsaid:
            return self._choice()
        said = unsaid[int(self.rng.integers(len(unsaid)))]
        right, wrong = self._options(said, str)
        return self._lettered("looks", place, pick(self.rng, said.questions), right, wrong)

    def _saying(self) -> tuple[int, Saying | None]:
        """Something that one of the notes says, facts as often as all else."""
        place = int(self.rng.integers(len(self.case.notes)))
        note = self.case.notes[place]
        groups = [group for group in (note.sayings, note.facts) if group]
        if not groups:
            return place, None
        group = groups[int(self.rng.integers(len(groups)))]
        return place, group[int(self.rng.integers(len(group)))]

    def _unknown(self) -> Exchange:
        name = f"<{self._stranger()}>"
        saying = self._saying()[1] if self.case.notes else None
        questions = saying.questions if saying and self.rng.random() < 0.6 else asking.ABOUT
        return Exchange(pick(self.rng, questions).format(name), asking.UNKNOWN, (), "unknown")

    def _seen(self) -> Exchange:
        """What a picture of one thing shows, without a name."""
        things = self._seen_things()
        if len(things) > 1:
            return self._what("what")
        kind = pick(self.rng, ("colour", "category"))
        return seen(things[0], kind, self.rng)

    def _talk(self) -> Exchange:
        question, answer = asking.small_talk(self.rng)
        return Exchange(question, answer, (), "talk")

    def _seen_things(self) -> list[Thing]:
        """What is on the picture, from left to right."""
        assert self.case.shown is not None
        places = sorted(zip(self.case.shown.middles, self.case.shown.things, strict=True))
        return [self.album.things[i] for _, i in places]

    def _mention(self, place: int, pronoun: str = "") -> str:
        name = self.case.notes[place].name
        if pronoun and len(self.case.notes) == 1 and self.rng.random() < 0.08:
            return pronoun
        return name if self.rng.random() < BARE_NAMES else handle(name)

    def _stranger(self) -> str:
        """A name that no block has, sometimes close to one that has."""
        taken = {note.name.lower() for note in self.case.notes}
        while True:
            near = bool(taken) and self.rng.random() < 0.35
            name = alike(self.rng, self._any_note().name) if near else any_name(self.rng)
            if name.lower() not in taken and handle(name) == f"<{name}>":
                return name

    def _any_note(self) -> Note:
        return self.case.notes[int(self.rng.integers(len(self.case.notes)))]


def corpus(rng: np.random.Generator, *, cases: int) -> list[str]:
    """Texts for the tokenizer: infos, questions and answers, and words that names may hold."""
    album = blind_album(rng, things=500)
    texts: list[str] = []
    for _ in range(cases):
        case = sample_case(album, rng, dialogues=4)
        texts += [f"[1.\n Name: {handle(n.name)}, Info: {n.info}]\n" for n in case.notes]
        texts += [f"USER:\n{e.question}\nASSISTANT:\n{e.answer}" for d in case.dialogues for e in d]
    texts += [f"{any_word(rng)} {category}" for category in CATEGORIES for _ in range(20)]
    return texts
