"""A draft becomes records: names, a choice of concepts for the prompt, noise among them, and a conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rap_serve.domain.prompt import as_text, handle, rap_parts
from training.data import wordings as words
from training.data.drafts import Candidate, Draft
from training.data.instructions import Kind, Setting, Told, exchanges, pick
from training.data.records import ConceptRecord, Message, RapRecord, prompt_text
from training.world.text import sample_name

SHARES: dict[Kind, float] = {
    # roughly those of the published set: 100, 40, 30, 37 and 16 thousand
    "grounding": 0.40,
    "recognition": 0.20,
    "caption": 0.15,
    "description": 0.10,
    "qa": 0.15,
}
MOST_PER_PICTURE = len(SHARES)
TURNS, TURNS_SHARES = (1, 2, 3), (0.4, 0.35, 0.25)
NOISE, NOISE_SHARES = (0, 1, 2, 3), (0.3, 0.35, 0.2, 0.15)
ALL_NOISE_SHARE = 0.2
NOTHING_SHARE = 0.1
_MAY_BE_ALL_NOISE = ("grounding", "recognition", "caption")


@dataclass(frozen=True, slots=True)
class _Named:
    """A candidate with what a record says of it."""

    candidate: Candidate
    told: Told


@dataclass(frozen=True, slots=True)
class _Prompt:
    """The blocks of a prompt in their order, and what is asked about."""

    blocks: tuple[_Named, ...]
    setting: Setting


def records_of(draft: Draft, *, seed: int, most: int) -> list[RapRecord]:
    """Up to ``most`` records about the draft's picture, each of another kind; a function of draft and seed."""
    rng = np.random.default_rng([seed, draft.place, 2])
    present, absent = _named(draft, rng)
    records: list[RapRecord] = []
    for kind in _kinds(rng):
        if len(records) == most:
            break
        record = _record(kind, draft, present, absent, rng)
        if record is not None:
            records.append(record)
    return records


def _kinds(rng: np.random.Generator) -> list[Kind]:
    kinds = list(SHARES)
    order = rng.choice(len(kinds), len(kinds), replace=False, p=list(SHARES.values()))
    return [kinds[int(i)] for i in order]


def _record(
    kind: Kind, draft: Draft, present: Sequence[_Named], absent: Sequence[_Named], rng: np.random.Generator
) -> RapRecord | None:
    prompt = _prompt(kind, draft, present, absent, rng)
    said = exchanges(kind, prompt.setting, rng, most=int(rng.choice(TURNS, p=TURNS_SHARES)))
    if not said:
        return None
    concepts = tuple(_concept_record(named, named in absent, rng) for named in prompt.blocks)
    turns: list[Message] = []
    for place, (question, answer) in enumerate(said):
        text = as_text(rap_parts(None, (), question)) if place else prompt_text(concepts, question)
        turns += [Message("human", text), Message("gpt", answer)]
    return RapRecord(
        id=f"{draft.place:08d}-{kind}",
        images=(draft.picture, *(concept.image for concept in concepts)),
        conversations=tuple(turns),
        extra=concepts,
        type=kind,
    )


def _prompt(
    kind: Kind, draft: Draft, present: Sequence[_Named], absent: Sequence[_Named], rng: np.random.Generator
) -> _Prompt:
    """Some of what is in the picture, some noise: now and then noise alone, or for captions nothing."""
    shown = _some(present, int(rng.integers(1, len(present) + 1)), rng)
    noise = _some(absent, int(rng.choice(NOISE, p=NOISE_SHARES)), rng)
    if kind == "recognition" and not noise:
        noise = _some(absent, 1, rng)
    if noise and kind in _MAY_BE_ALL_NOISE and rng.random() < ALL_NOISE_SHARE:
        shown = []
    if kind == "caption" and rng.random() < NOTHING_SHARE:
        shown, noise = [], []
    places = [present.index(named) for named in shown]
    unnamed = [n.told.phrase or n.told.category for n in present if n not in shown]
    relations = [(places.index(i), r, places.index(j)) for i, r, j in draft.relations if i in places and j in places]
    setting = Setting(
        shown=tuple(named.told for named in shown),
        noise=tuple(named.told for named in noise),
        unnamed=(*unnamed, *draft.others),
        relations=tuple(relations),
    )
    return _Prompt(tuple(_some([*shown, *noise], len(shown) + len(noise), rng)), setting)


def _concept_record(named: _Named, noise: bool, rng: np.random.Generator) -> ConceptRecord:
    return ConceptRecord(
        name=named.told.name,
        image=pick(rng, named.candidate.crops),
        info=named.told.info,
        category=named.told.category,
        noise=noise,
        box=named.told.box,
    )


def _named(draft: Draft, rng: np.random.Generator) -> tuple[list[_Named], list[_Named]]:
    """Every candidate with a name of its own, that no text about the picture holds as a word."""
    candidates = (*draft.present, *draft.absent)
    texts = " ".join([*draft.others, *(text for c in candidates for text in _texts(c))]).casefold()
    spoken = set(re.findall(r"[\w-]+", texts))
    taken = {c.name.casefold() for c in candidates if c.name}
    named = []
    for candidate in candidates:
        name = candidate.name
        while not name or (not candidate.name and (name in taken or name in spoken)):
            name = sample_name(rng)
        taken.add(name.casefold())
        named.append(_Named(candidate, _told(candidate, name, rng)))
    count = len(draft.present)
    return named[:count], named[count:]


def _told(candidate: Candidate, name: str, rng: np.random.Generator) -> Told:
    introduced = candidate.info or pick(rng, words.INFO).replace("{}", handle(name), 1).replace(
        "{}", candidate.phrase, 1
    )
    known = candidate.info or f"{handle(name)} is {candidate.phrase}."
    return Told(
        name=name,
        category=candidate.category,
        phrase=candidate.phrase,
        info=f"{introduced} {candidate.remark}".strip(),
        known=f"{known} {candidate.remark}".strip(),
        box=candidate.box,
        questions=candidate.questions,
    )


def _texts(candidate: Candidate) -> tuple[str, ...]:
    said = [text for pair in candidate.questions for text in pair]
    return (candidate.category, candidate.phrase, candidate.info, candidate.remark, *said)


def _some(items: Sequence[_Named], count: int, rng: np.random.Generator) -> list[_Named]:
    """Up to ``count`` of them, in any order."""
    return [items[int(i)] for i in rng.permutation(len(items))[:count]]
