"""Prompts for image-text training: words at one level of detail, and which pictures share them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from training.world.text import caption, describe
from training.world.things import KINDS, Thing

TEMPLATES = (
    "{}",
    "{}",
    "a photo of {}",
    "a picture of {}",
    "this is {}",
    "a close photo of {}",
    "there is {} here",
)
OBJECT_WORDS = (
    "person man woman child baby face hand animal pet dog puppy cat kitten bird parrot duck chicken horse "
    "cow sheep goat pig rabbit mouse hamster turtle fish shark whale dolphin frog snake lizard bear panda "
    "elephant giraffe zebra lion tiger monkey fox wolf deer squirrel sloth penguin owl butterfly bee "
    "spider dinosaur dragon unicorn monster car truck bus van taxi train tram bicycle bike motorcycle "
    "scooter boat ship airplane helicopter rocket wheel house building barn tower castle church bridge "
    "door window wall roof fence street tree flower plant cactus leaf grass rose tulip mushroom rock "
    "mountain river beach sky cloud chair armchair sofa couch bench stool table desk bed pillow blanket "
    "lamp light lantern candle clock alarm watch mirror picture painting frame vase shelf cupboard drawer "
    "carpet curtain mug cup glass bottle flask jar jug pot pan kettle teapot bowl plate dish fork knife "
    "spoon tray basket bucket box carton package bag backpack rucksack handbag purse suitcase wallet "
    "umbrella hat cap helmet glasses sunglasses scarf glove shirt sweater jacket coat dress skirt "
    "trousers jeans sock shoe sneaker boot sandal slipper ring necklace bracelet phone laptop computer "
    "keyboard mouse screen monitor television camera radio speaker headphones microphone remote robot toy "
    "doll teddy plush plushie puppet figurine statue ball balloon kite puzzle game card book notebook "
    "newspaper magazine pen pencil brush scissors tape stapler key lock tool hammer drill guitar piano "
    "violin drum trumpet flute milk juice water coffee tea soda cola beer wine oat soy almond rice "
    "yoghurt yogurt cream butter cheese bread cake cookie biscuit chocolate candy apple orange banana "
    "lemon strawberry berry blueberry grape cherry pear peach melon tomato potato carrot onion pepper "
    "salad soup pizza pasta sandwich egg can tin soap shampoo toothbrush towel sponge broom object thing "
    "item product drink food fruit vegetable furniture vehicle clothing container instrument electronics "
    "logo label sign text number letter small big tall short round square old new shiny wooden metal "
    "plastic ceramic fluffy furry striped spotted"
)


def prompts(things: Sequence[Thing], rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """One prompt a thing, and a key a thing: equal keys mean that the prompts fit both pictures.

    All prompts of a call are at one level: group, category, colour and category, caption, or full description.
    """
    words, key = LEVELS[int(rng.integers(len(LEVELS)))]
    texts = [TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(words(thing, rng)) for thing in things]
    return texts, [key(thing) for thing in things]


def _category(thing: Thing, rng: np.random.Generator) -> str:
    synonyms = KINDS[thing.category].synonyms
    word = thing.category if rng.random() < 0.4 else synonyms[int(rng.integers(len(synonyms)))]
    return word if rng.random() < 0.5 else f"a {word}"


def _group(thing: Thing, rng: np.random.Generator) -> str:
    word = KINDS[thing.category].group
    return word if rng.random() < 0.5 else _article(word)


def _coloured(thing: Thing, rng: np.random.Generator) -> str:
    synonyms = KINDS[thing.category].synonyms[:3]
    word = thing.category if rng.random() < 0.6 else synonyms[int(rng.integers(len(synonyms)))]
    return f"a {thing.base} {word}"


def _article(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _caption(thing: Thing, rng: np.random.Generator) -> str:
    return caption(thing)


LEVELS: tuple[tuple[Callable[[Thing, np.random.Generator], str], Callable[[Thing], str]], ...] = (
    (_group, lambda thing: KINDS[thing.category].group),
    (_category, lambda thing: thing.category),
    (_category, lambda thing: thing.category),
    (_coloured, lambda thing: f"{thing.base} {thing.category}"),
    (_caption, caption),
    (describe, repr),
)
