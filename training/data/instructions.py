"""Questions and answers about one picture, of five kinds, each right whatever else stands in the prompt.

Sources: figure 3 and section 3.3 of "RAP: Retrieval-Augmented Personalization for Multimodal LLMs", CVPR 2025. A
box is written as fractions of the picture's width and height with two decimals: ``[0.12, 0.30, 0.55, 0.98]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np

from rap_serve.domain.prompt import handle
from training.data import wordings as words
from training.data.records import BoxFractions

Kind: TypeAlias = Literal["grounding", "recognition", "caption", "description", "qa"]
Exchange: TypeAlias = tuple[str, str]
"""A question and its answer."""
Item = TypeVar("Item")

MIDDLE = 0.14  # how far from the centre still counts as the middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A concept under the name it has in one record. ``info``: what the prompt says of it."""

    name: str
    category: str
    phrase: str
    info: str
    known: str
    box: BoxFractions | None
    questions: tuple[Exchange, ...]

    @property
    def handle(self) -> str:
        return handle(self.name)

    @property
    def introduced(self) -> str:
        """ "<bo>, a red mug"."""
        return f"{self.handle}, {self.phrase}" if self.phrase else self.handle


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a prompt holds. ``shown``: concepts in the picture; ``noise``: others; ``unnamed``: what else is seen.

    ``relations``: how shown concepts stand to each other, by place in ``shown``.
    """

    shown: tuple[Told, ...]
    noise: tuple[Told, ...] = ()
    unnamed: tuple[str, ...] = ()
    relations: tuple[tuple[int, str, int], ...] = ()


def exchanges(kind: Kind, setting: Setting, rng: np.random.Generator, *, most: int) -> list[Exchange]:
    """Up to ``most`` different questions of one kind, with their answers; none where the kind does not apply.

    No answer holds the name of a concept that is not in the picture.
    """
    kept: dict[str, str] = {}
    for question, answer in _KINDS[kind](setting, rng):
        if not any(told.handle in answer for told in setting.noise):
            kept.setdefault(question, answer)
    return list(kept.items())[:most]


def box_text(box: BoxFractions) -> str:
    """A box as answers write it."""
    return f"[{', '.join(f'{value:.2f}' for value in box)}]"


def side_of(box: BoxFractions) -> str:
    """In words, where in the picture."""
    x, y = (box[0] + box[2]) / 2 - 0.5, (box[1] + box[3]) / 2 - 0.5
    if abs(x) < MIDDLE and abs(y) < MIDDLE:
        return "in the middle"
    if abs(x) >= abs(y):
        return "on the left" if x < 0 else "on the right"
    return "at the top" if y < 0 else "at the bottom"


def joined(items: Sequence[str]) -> str:
    """ "a" or "a, and b": descriptions that hold commas stay apart."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])}, and {items[-1]}"


def pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def _grounding(setting: Setting, rng: np.random.Generator) -> list[Exchange]:
    """Where the shown ones are, what is at a place, and that the others are nowhere."""
    found = [(_asked(rng, words.COORDINATES, t), box_text(t.box)) for t in setting.shown if t.box]
    back = [(_at(rng, t.box), f"{t.introduced}.") for t in setting.shown if t.box]
    absent = [(_asked(rng, words.COORDINATES, t), pick(rng, words.ABSENT)) for t in setting.noise]
    first = found[:1] if found else absent[:1]
    return first + _shuffled([*found[1:], *back[:1], *absent[0 if found else 1 :]], rng)


def _recognition(setting: Setting, rng: np.random.Generator) -> list[Exchange]:
    """Yes and no in turns, beginning with either."""
    yes, no = _shuffled(setting.shown, rng), _shuffled(setting.noise, rng)
    turns = [(yes, True), (no, False)] if rng.random() < 0.5 else [(no, False), (yes, True)]
    found = []
    for place in range(max(len(yes), len(no))):
        found += [_recognised(told[place], here, setting, rng) for told, here in turns if place < len(told)]
    return found


def _recognised(told: Told, here: bool, setting: Setting, rng: np.random.Generator) -> Exchange:
    question = _asked(rng, words.PRESENT, told)
    short = words.SHORT in question
    if here:
        return question, "Yes." if short else f"Yes, {told.handle} is in this picture."
    seen = [t.introduced for t in setting.shown] + list(setting.unnamed)
    if not short and seen and rng.random() < 0.4:
        return question, f"No, I see {joined(seen)}."
    return question, words.NO[0] if short else pick(rng, words.NO)


def _caption(setting: Setting, rng: np.random.Generator) -> list[Exchange]:
    """All that is seen, with the names that are known; then how it stands to each other."""
    seen = [t.introduced for t in setting.shown] + list(setting.unnamed)
    if not seen:
        return []
    first = (pick(rng, words.CAPTION), pick(rng, words.CAPTION_ANSWER).replace("{}", joined(seen)))
    stands = []
    for i, relation, j in setting.relations:
        one, other = setting.shown[i].handle, setting.shown[j].handle
        question = pick(rng, words.STANDS).replace("{}", one, 1).replace("{}", other, 1)
        stands.append((question, f"{one} is {relation} {other}."))
    return [first, *_shuffled(stands, rng)]


def _description(setting: Setting, rng: np.random.Generator) -> list[Exchange]:
    """What it looks like, and all that is known of it."""
    looks = [(_asked(rng, words.DESCRIBE, t), f"{t.handle} is {t.phrase}.") for t in setting.shown if t.phrase]
    known = [(_asked(rng, words.KNOWN, t), t.known) for t in setting.shown]
    return _shuffled([*looks, *known], rng)


def _qa(setting: Setting, rng: np.random.Generator) -> list[Exchange]:
    """What the picture or the info answers."""
    found = []
    for told in setting.shown:
        pairs = list(told.questions)
        if told.box:
            pairs.append((pick(rng, words.WHERE), f"{{}} is {side_of(told.box)}."))
        article = "an" if told.category[:1].lower() in "aeiou" else "a"
        pairs.append((words.KIND_OF_THING, f"{{}} is {article} {told.category}."))
        found += [(q.replace("{}", told.handle), a.replace("{}", told.handle)) for q, a in pairs]
    return _shuffled(found, rng)


_KINDS: Mapping[Kind, Callable[[Setting, np.random.Generator], list[Exchange]]] = {
    "grounding": _grounding,
    "recognition": _recognition,
    "caption": _caption,
    "description": _description,
    "qa": _qa,
}


def _asked(rng: np.random.Generator, forms: Sequence[str], told: Told) -> str:
    return pick(rng, forms).replace("{}", told.handle)


def _at(rng: np.random.Generator, box: BoxFractions) -> str:
    return pick(rng, words.AT_BOX).replace("{}", box_text(box))


def _shuffled(items: Sequence[Item], rng: np.random.Generator) -> list[Item]:
    return [items[int(i)] for i in rng.permutation(len(items))]
