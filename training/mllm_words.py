"""Names, descriptions and infos that owners might write, out of open sets of words."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from rap_serve.domain.prompt import handle
from training.world.facts import any_word
from training.world.text import describe, sample_name
from training.world.things import COLOURS, KINDS, WORN, Thing

_NAMED = re.compile(r"<([^<>\n]+)>")
_ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz", "aeiouklmnrst", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcäöüéñøçxyz0189",
    "αβγδεζηθικλμνξοπρστυφχψω", "абвгдежзиклмнопрстуфхцчшщэюя", "あいうえおかきくけこミケタマ",
    "猫犬山川花月本茶小大", "אבגדהוזחטיכלמנסעפצקרשת", "가나다라마바사아자차카타파하", "कखगघचजटडतदनपबमयरलवसह",
)  # fmt: skip
_SIZES = ("tall", "small", "short", "wide", "round", "slim", "flat", "long", "low", "thick", "tiny", "heavy", "square")
_FINISHES = ("furry", "woven", "wooden", "glossy", "matte", "rusty", "soft", "shiny")
_MORE_COLOURS = ("gold", "silver", "violet", "maroon", "olive", "cream", "mint", "crimson", "bronze", "ivory")
_JOINTS = ("of", "from", "and", "that has", "in", "with a", "made of", "for")


@dataclass(frozen=True, slots=True)
class Told:
    """What an owner says of a thing: "a tall red mug with white dots and a gold heart".

    ``core`` is what comes before "with". The others are words of the phrase, empty where it does not say.
    """

    phrase: str = ""
    core: str = ""
    noun: str = ""
    colour: str = ""
    form: str = ""
    finish: str = ""
    pattern: str = ""
    part: str = ""
    worn: str = ""
    emblem: str = ""


def told_of(thing: Thing, rng: np.random.Generator) -> Told:
    """A description of a thing of the world, as the world words it."""
    phrase, kind = describe(thing, rng), KINDS[thing.category]
    core = phrase.split(" with ")[0]
    noun = next(n for n in (thing.category, kind.synonyms[0]) if core.endswith(n))
    adjectives = core.removesuffix(noun).split()
    band = f"a wide {thing.accent} band"
    extra = next(
        (e for e in (f"a {thing.detail} {thing.extra}", f"an {thing.detail} {thing.extra}") if e in phrase), ""
    )
    extra = extra or (f"{thing.detail} {thing.extra}" if f" {thing.detail} {thing.extra}" in phrase else "")
    return Told(
        phrase=phrase,
        core=core,
        noun=noun,
        colour=thing.base,
        form=kind.forms[thing.form] if kind.forms[thing.form] in adjectives else "",
        finish=thing.finish if thing.finish in adjectives else "",
        pattern=next((p for p in (band, f"{thing.accent} {thing.pattern}") if p in phrase), ""),
        part=kind.parts[thing.part] if kind.parts[thing.part] in phrase else "",
        worn=extra if thing.extra in WORN else "",
        emblem="" if thing.extra in WORN else extra,
    )


def invented(rng: np.random.Generator) -> Told:
    """A description of the world's shape with words that mean anything: reading it is all that helps."""
    colour = _any_colour(rng) if rng.random() < 0.8 else ""
    form = pick(rng, _SIZES) if rng.random() < 0.5 else ""
    finish = pick(rng, _FINISHES) if rng.random() < 0.2 else ""
    noun = any_word(rng) if rng.random() < 0.7 else f"{any_word(rng)} {any_word(rng)}"
    core = " ".join(word for word in (finish, form, colour, noun) if word)
    core = f"{_article(core)} {core}"
    pattern = f"{_any_colour(rng)} {any_word(rng)}s" if rng.random() < 0.5 else ""
    part = pick(rng, (f"a {pick(rng, _SIZES)} {any_word(rng)}", f"{any_word(rng)}s", f"a {any_word(rng)}"))
    part = part if rng.random() < 0.5 else ""
    extra = f"a {_any_colour(rng)} {any_word(rng)}" if rng.random() < 0.4 else ""
    worn = extra if rng.random() < 0.5 else ""
    features = [feature for feature in (pattern, part, extra) if feature]
    phrase = f"{core} with {joined(features)}" if features else core
    emblem = "" if worn else extra
    return Told(phrase, core, noun, colour, form, finish, pattern, part, worn, emblem)


def odd(rng: np.random.Generator) -> Told:
    """Some noun phrase: "my kettle of woven stores, and very lemon"."""
    words = [any_word(rng) for _ in range(int(rng.integers(1, 4)))]
    core = f"{pick(rng, ('a', 'my', 'the', 'an'))} {' '.join(words)}"
    phrase = core
    if rng.random() < 0.6:
        phrase += f" {pick(rng, _JOINTS)} {' '.join(any_word(rng) for _ in range(int(rng.integers(1, 4))))}"
    if rng.random() < 0.2:
        phrase += f", {pick(rng, ('and', 'with', 'very', 'always'))} {any_word(rng)} {any_word(rng)}"
    return Told(phrase, core)


def written(name: str, phrase: str, rng: np.random.Generator, *, plain: bool = False) -> str:
    """An info's first sentence; mostly, and where ``plain`` always, as the world words it."""
    forms = (
        f"<{name}> is {phrase}.", f"<{name}> is {phrase}.", f"This is <{name}>, {phrase}.", f"<{name}>: {phrase}.",
        f"Meet <{name}>, {phrase}.", f"<{name}> is the name of {phrase}.", f"Here is <{name}>. It is {phrase}.",
    )  # fmt: skip
    others = (
        f"This is {phrase}.", f"{phrase[0].upper()}{phrase[1:]}.", f"{phrase}", f"It is {phrase}.",
        f"{name} is {phrase}.", f"{name.capitalize()} is {phrase}", f"The picture shows {phrase}.",
    )  # fmt: skip
    return pick(rng, forms if plain or rng.random() < 0.7 else others)


def any_names(rng: np.random.Generator, count: int, *, plain: bool = False) -> list[str]:
    """``count`` handles that differ in more than case; some share words, which makes them easy to confuse.

    ``plain``: as the world names things, and no others.
    """
    names: list[str] = []
    kin = rng.random() < 0.3
    while len(names) < count:
        if plain:
            name = sample_name(rng)
        else:
            name = alike(rng, names[-1]) if kin and names and rng.random() < 0.6 else any_name(rng)
        if name.lower() not in {n.lower() for n in names} and handle(name) == f"<{name}>":
            names.append(name)
    return names


def any_name(rng: np.random.Generator) -> str:
    """A handle: the world's names, their capitals, two words, or any characters at all."""
    kind = rng.random()
    if kind < 0.6:
        return sample_name(rng)
    if kind < 0.68:
        return sample_name(rng).capitalize()
    if kind < 0.76:
        return f"{pick(rng, ('my', 'the', 'Mr', 'our', any_word(rng)))} {any_word(rng)}"
    if kind < 0.86:
        end = any_word(rng) if rng.random() < 0.5 else str(rng.integers(1000))
        return f"{any_word(rng)}{pick(rng, ('-', '_', '', '.'))}{end}"
    letters = pick(rng, _ALPHABETS)
    return "".join(letters[int(i)] for i in rng.integers(len(letters), size=int(rng.integers(2, 7))))


def alike(rng: np.random.Generator, name: str) -> str:
    """Another handle that shares a word with ``name``."""
    words = name.split("-")
    if len(words) == 1:
        return f"{name}-{any_word(rng)}" if rng.random() < 0.5 else f"{any_word(rng)}-{name}"
    words[int(rng.integers(len(words)))] = any_word(rng)
    return "-".join(words)


def joined(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def joined_apart(items: list[str]) -> str:
    """ "a" or "a, and b": descriptions that hold commas stay apart."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])}, and {items[-1]}"


def names_in(text: str) -> list[str]:
    """The handles in an answer, without brackets, in order."""
    return _NAMED.findall(text)


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options."""
    return options[int(rng.integers(len(options)))]


def with_article(noun: str) -> str:
    """ "a mug", "an owl"."""
    return f"{_article(noun)} {noun}"


def _article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"


def _any_colour(rng: np.random.Generator) -> str:
    return pick(rng, tuple(COLOURS) if rng.random() < 0.8 else _MORE_COLOURS)
