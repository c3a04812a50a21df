"""What an owner knows about a thing and no picture shows, and questions about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.world.prompts import OBJECT_WORDS

FIRST_NAMES = ("Anna", "Tom", "my mother", "my brother", "Lena", "a friend", "Jonas", "my aunt", "Mia", "Ravi", "Yuki")
PLACES = ("Lisbon", "Berlin", "the market", "Kyoto", "a small shop", "Oslo", "the attic", "Paris", "a flea market")
ROOMS = ("the kitchen", "the garden", "my desk", "the living room", "the shelf", "my room", "the car", "the office")
MANNERS = (
    "shy", "brave", "very old", "quite new", "a bit broken", "playful", "sleepy", "fragile", "heavy", "friendly",
)  # fmt: skip
_HEADS = ("b", "st", "c", "d", "fl", "g", "h", "k", "l", "m", "n", "p", "qu", "r", "s", "th", "v", "w")
_VOWELS = tuple("aeiou")
_ENDS = ("", "n", "r", "t", "st", "ck", "ng", "l", "ss", "m", "ble", "ty")
_WORDS = tuple(OBJECT_WORDS.split())


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence in an info, a question about it ({} is the name), and the answer's end."""

    sentence: str
    questions: tuple[str, ...]
    answer: str


def sample_fact(rng: np.random.Generator) -> Fact:
    """Something that cannot be seen."""
    who, place, room = _pick(rng, FIRST_NAMES), _pick(rng, PLACES), _pick(rng, ROOMS)
    word = any_word(rng)
    subject = _pick(rng, ("It", "He", "She"))
    years = int(rng.integers(2, 30))
    manner = _pick(rng, MANNERS)
    facts = (
        Fact(f"{subject} loves {word}.", ("What does {} love?", "What does {} like?"), f"loves {word}"),
        Fact(f"{subject} is called after {word}.", ("Why is {} called that?",), f"is called after {word}"),
        Fact(f"It was a gift from {who}.", ("Who gave me {}?", "Where is {} from?"), f"was a gift from {who}"),
        Fact(f"I bought it in {place}.", ("Where did I buy {}?", "Where is {} from?"), f"is from {place}"),
        Fact(f"It belongs to {who}.", ("Who owns {}?", "Whose is {}?"), f"belongs to {who}"),
        Fact(f"{subject} lives in {room}.", ("Where does {} live?",), f"lives in {room}"),
        Fact(f"{subject} is {years} years old.", ("How old is {}?", "What is the age of {}?"), f"is {years} years old"),
        Fact(f"{subject} is {manner}.", ("What is {} like?", "How is {}?"), f"is {manner}"),
    )
    return facts[int(rng.integers(len(facts)))]


def any_word(rng: np.random.Generator) -> str:
    """A common noun, or one that exists nowhere."""
    if rng.random() < 0.5:
        return _pick(rng, _WORDS)
    cuts = [_pick(rng, _HEADS) + _pick(rng, _VOWELS) for _ in range(int(rng.integers(1, 4)))]
    return "".join(cuts) + _pick(rng, _ENDS)


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
