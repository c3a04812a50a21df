"""What infos say about a thing, each with the questions that it answers and with other values it could have had."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from training.mllm_words import Told, pick, with_article
from training.world.facts import FIRST_NAMES, PLACES, ROOMS, Fact, any_word, sample_fact
from training.world.things import CATEGORIES, COLOURS, EMBLEMS, KINDS, PATTERNS, WORN

KIND = (
    "What kind of thing is {}?", "What category is {}?", "What sort of thing is {}?", "What type of object is {}?",
    "Which kind of thing is {}?", "What category does {} belong to?", "What type of thing is {}?", "What object is {}?",
    "What kind of object is {}?", "To which category does {} belong?",
)  # fmt: skip
COLOUR = (
    "What colour is {}?", "What color is {}?", "Which colour does {} have?", "Which color has {}?",
    "What is the colour of {}?", "Tell me the color of {}.", "What colour does {} have?", "Which colour is {}?",
    "What is the main color of {}?", "What is the base colour of {}?",
)  # fmt: skip
FORM = (
    "What shape is {}?", "How is {} shaped?", "What is the shape of {}?", "What form does {} have?",
    "Which shape does {} have?", "What is the form of {}?", "What size is {}?",
)  # fmt: skip
FINISH = (
    "What is the surface of {} like?", "What does {} feel like?", "What finish does {} have?",
    "What is the texture of {}?", "Which finish does {} have?",
)  # fmt: skip
PATTERN = (
    "What pattern does {} have?", "What is the pattern of {}?", "Which pattern is on {}?",
    "Which pattern does {} have?", "What pattern is on {}?", "How is {} patterned?", "What pattern can be seen on {}?",
)  # fmt: skip
PART = (
    "Which part does {} have?", "What part does {} have?", "Which feature does {} have?", "What feature does {} have?",
    "What is special about {}?", "Which of these does {} have?", "What else does {} have?", "What does {} have?",
)  # fmt: skip
WEARS = (
    "What does {} wear?", "What is {} wearing?", "What does {} have on?", "Which accessory does {} have?",
    "What accessory does {} wear?",
)  # fmt: skip
EMBLEM = (
    "What emblem does {} have?", "Which emblem is on {}?", "What sign is on {}?", "What is drawn on {}?",
    "What emblem is on {}?", "What decoration does {} have?", "What is printed on {}?",
)  # fmt: skip
_LEADS = (
    "is called after", "was a gift from", "belongs to", "lives in", "is from", "loves", "smells of", "is made of",
    "cost", "was found near", "was made by", "sleeps on", "is afraid of", "came home in", "weighs", "plays with",
    "hates", "is",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Saying:
    """Something an info states. ``{}`` in a question is the name; ``end`` follows the name in the answer.

    ``value`` are the info's own words for it; ``rivals`` gives other values of its kind.
    """

    kind: str
    questions: tuple[str, ...]
    end: str
    value: str
    rivals: Callable[[np.random.Generator], str]


def sayings_of(told: Told) -> list[Saying]:
    """What the description states."""
    is_a, has = (f"is {told.noun and with_article(told.noun)}", "has ")
    rows = (
        ("category", KIND, is_a, told.noun, _other_noun),
        ("colour", COLOUR, f"is {told.colour}", told.colour, _other_colour),
        ("form", FORM, f"is {told.form}", told.form, _other_form),
        ("finish", FINISH, f"is {told.finish}", told.finish, _other_finish),
        ("pattern", PATTERN, has + told.pattern, told.pattern, _other_pattern),
        ("part", PART, has + told.part, told.part, _other_part),
        ("extra", WEARS, f"wears {told.worn}", told.worn, _other_worn),
        ("extra", EMBLEM, has + told.emblem, told.emblem, _other_emblem),
    )
    return [Saying(*row) for row in rows if row[3]]


def saying_of(fact: Fact) -> Saying:
    """What the fact states."""
    lead = next((lead for lead in _LEADS if fact.answer.startswith(lead + " ")), "")
    value = fact.answer.removeprefix(lead).strip()

    def rivals(rng: np.random.Generator) -> str:
        others = _known_values()[lead]
        return pick(rng, others)

    return Saying("fact", fact.questions, fact.answer, value, rivals)


def any_fact(rng: np.random.Generator) -> Fact:
    """A fact of the world, or one of another kind, so that reading helps and knowing the kinds by heart does not."""
    if rng.random() < 0.6:
        return sample_fact(rng)
    word, it = any_word(rng), pick(rng, ("It", "He", "She"))
    who, place, room = (pick(rng, options) for options in (FIRST_NAMES, PLACES, ROOMS))
    number, verb = int(rng.integers(2, 3000)), f"{any_word(rng)}s"
    facts = (
        Fact(f"{it} smells of {word}.", ("What does {} smell of?",), f"smells of {word}"),
        Fact(f"{it} is made of {word}.", ("What is {} made of?", "Which material is {}?"), f"is made of {word}"),
        Fact(f"It cost {number} euros.", ("How much did {} cost?", "What did {} cost?"), f"cost {number} euros"),
        Fact(f"I found it near {place}.", ("Where did I find {}?",), f"was found near {place}"),
        Fact(f"It was made by {who}.", ("Who made {}?", "Who is the maker of {}?"), f"was made by {who}"),
        Fact(f"{it} sleeps on {room}.", ("Where does {} sleep?",), f"sleeps on {room}"),
        Fact(f"{it} is afraid of {word}.", ("What is {} afraid of?", "What scares {}?"), f"is afraid of {word}"),
        Fact(f"It came home in {number}.", ("When did {} come home?",), f"came home in {number}"),
        Fact(f"It weighs {number} grams.", ("How heavy is {}?", "What does {} weigh?"), f"weighs {number} grams"),
        Fact(f"{it} plays with {word}.", ("What does {} play with?",), f"plays with {word}"),
        Fact(f"{it} hates {word}.", ("What does {} hate?",), f"hates {word}"),
        Fact(f"{it} {verb} {word}.", (f"What does {{}} {verb[:-1]}?",), f"{verb} {word}"),
    )
    return facts[int(rng.integers(len(facts)))]


def bare(value: str) -> str:
    """Without article and colour: "a gold heart" is "heart"."""
    words = [word for word in value.split() if word not in ("a", "an")]
    return " ".join(words[1:] if len(words) > 1 and words[0] in COLOURS else words)


@cache
def _known_values() -> dict[str, tuple[str, ...]]:
    """Values of some thousand facts, by how their answers begin."""
    rng = np.random.default_rng(0)
    values: dict[str, set[str]] = {lead: set() for lead in ("", *_LEADS)}
    for _ in range(6000):
        answer = any_fact(rng).answer
        lead = next((lead for lead in _LEADS if answer.startswith(lead + " ")), "")
        values[lead].add(answer.removeprefix(lead).strip())
    return {lead: tuple(sorted(found)) for lead, found in values.items()}


def _other_noun(rng: np.random.Generator) -> str:
    return pick(rng, CATEGORIES) if rng.random() < 0.6 else any_word(rng)


def _other_colour(rng: np.random.Generator) -> str:
    return pick(rng, tuple(COLOURS))


def _other_form(rng: np.random.Generator) -> str:
    return pick(rng, KINDS[pick(rng, CATEGORIES)].forms)


def _other_finish(rng: np.random.Generator) -> str:
    return pick(rng, ("furry", "woven", "wooden", "glossy", "matte", "soft"))


def _other_pattern(rng: np.random.Generator) -> str:
    if rng.random() < 0.3:
        return f"{_other_colour(rng)} {any_word(rng)}s"
    pattern = pick(rng, PATTERNS[1:])
    return f"a wide {_other_colour(rng)} band" if pattern == "a wide band" else f"{_other_colour(rng)} {pattern}"


def _other_part(rng: np.random.Generator) -> str:
    return pick(rng, KINDS[pick(rng, CATEGORIES)].parts) if rng.random() < 0.8 else f"a {any_word(rng)}"


def _other_worn(rng: np.random.Generator) -> str:
    return f"a {_other_colour(rng)} {pick(rng, WORN[1:]) if rng.random() < 0.7 else any_word(rng)}"


def _other_emblem(rng: np.random.Generator) -> str:
    return f"a {_other_colour(rng)} {pick(rng, EMBLEMS[1:]) if rng.random() < 0.7 else any_word(rng)}"
