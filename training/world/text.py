"""Words for things, and names that an owner might give them."""

from __future__ import annotations

import numpy as np

from training.world.things import COLOURS, KINDS, Thing

PET_NAMES = (
    "bo",
    "luna",
    "max",
    "bella",
    "milo",
    "coco",
    "rocky",
    "daisy",
    "oscar",
    "nala",
    "simba",
    "toby",
    "rosie",
    "felix",
    "misty",
    "pepper",
    "biscuit",
    "noodle",
    "mochi",
    "pixel",
    "teddy",
    "olive",
    "hugo",
    "ziggy",
    "maple",
    "otis",
    "poppy",
    "waffles",
    "gizmo",
    "momo",
    "chip",
    "hazel",
    "bruno",
    "kiki",
    "pablo",
    "suki",
)
OWNERS = ("my", "moms", "dads", "annas", "toms", "our", "grandmas", "old", "new", "tiny", "big", "lucky")
SYLLABLES_HEAD = (
    "b",
    "br",
    "c",
    "ch",
    "d",
    "f",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "r",
    "s",
    "sh",
    "t",
    "tr",
    "v",
    "w",
    "z",
)
SYLLABLES_TAIL = ("a", "e", "i", "o", "u", "an", "el", "in", "or", "us", "ai", "oo", "ex", "ly", "ap", "en")
MAKERS = ("oatly", "alpro", "acme", "nova", "lumo", "kanto", "berg", "fjord", "sol", "peak", "vita", "zen")


def sample_name(rng: np.random.Generator) -> str:
    """A handle of lower-case letters, digits and hyphens, out of an open set."""
    kind = rng.integers(6)
    if kind == 0:
        return _pick(rng, PET_NAMES)
    if kind == 1:
        return _syllables(rng)
    if kind == 2:
        return f"{_pick(rng, tuple(COLOURS))}-{_pick(rng, tuple(KINDS))}"
    if kind == 3:
        maker = _pick(rng, MAKERS) if rng.random() < 0.5 else _syllables(rng)
        word = _pick(rng, KINDS[_pick(rng, tuple(KINDS))].synonyms)
        return f"{maker}-{word.split()[0]}"
    if kind == 4:
        return f"{_pick(rng, OWNERS)}-{_syllables(rng)}"
    return f"{_pick(rng, PET_NAMES) if rng.random() < 0.5 else _syllables(rng)}-{rng.integers(2, 100)}"


def caption(thing: Thing) -> str:
    """The fixed short description: "a red mug with dots"."""
    pattern = "" if thing.pattern == "plain" else f" with {thing.pattern}"
    return _article(f"{thing.base} {thing.category}{pattern}")


def describe(thing: Thing, rng: np.random.Generator) -> str:
    """A noun phrase: "a tall red mug with white dots and a gold handle"."""
    kind = KINDS[thing.category]
    noun = thing.category if rng.random() < 0.8 else kind.synonyms[0]
    words = [kind.forms[thing.form]] if rng.random() < 0.7 else []
    words.append(thing.base)
    if thing.finish in ("furry", "woven", "wooden", "glossy") and rng.random() < 0.4:
        words.insert(0, thing.finish)
    phrase = _article(f"{' '.join(words)} {noun}")
    features = [part for part in (_pattern(thing), _part(thing), _extra(thing)) if part]
    keep = min(len(features), int(rng.integers(1, 4)))
    return phrase + (f" with {_list(features[:keep])}" if keep else "")


def info_text(thing: Thing, name: str, rng: np.random.Generator) -> str:
    """What an owner writes about the thing; it holds ``<name>`` once."""
    what = describe(thing, rng)
    forms = (
        f"<{name}> is {what}.",
        f"<{name}> is {what}.",
        f"This is <{name}>, {what}.",
        f"<{name}>: {what}.",
        f"Meet <{name}>, {what}.",
        f"<{name}> is the name of {what}.",
        f"Here is <{name}>. It is {what}.",
    )
    return _pick(rng, forms)


def _pattern(thing: Thing) -> str:
    if thing.pattern == "plain":
        return ""
    if thing.pattern == "a wide band":
        return f"a wide {thing.accent} band"
    return f"{thing.accent} {thing.pattern}"


def _part(thing: Thing) -> str:
    return KINDS[thing.category].parts[thing.part]


def _extra(thing: Thing) -> str:
    return "" if thing.extra == "nothing" else _article(f"{thing.detail} {thing.extra}")


def _list(features: list[str]) -> str:
    return features[0] if len(features) == 1 else f"{', '.join(features[:-1])} and {features[-1]}"


def _article(phrase: str) -> str:
    if phrase.endswith("glasses") and "with" not in phrase:
        return phrase
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _syllables(rng: np.random.Generator) -> str:
    count = int(rng.integers(2, 4))
    return "".join(_pick(rng, SYLLABLES_HEAD) + _pick(rng, SYLLABLES_TAIL) for _ in range(count))


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
