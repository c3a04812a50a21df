"""What people ask and write about their things, and the words the tiny MLLM answers with."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from training.world.prompts import OBJECT_WORDS
from training.world.text import describe, sample_name
from training.world.things import COLOURS, Thing

WHAT = (
    "What is this?", "What is this", "what is this?", "what's this?", "Who is this?", "who is this", "What is it?",
    "What do you see?", "What can you see here?", "What is in this picture?", "What is in the picture?",
    "What is in this image?", "What's in the image?", "What is on the picture?", "What do you see in this photo?",
    "What is shown here?", "What is that?", "Who do you see?", "Who is in this picture?", "Who is in the photo?",
    "Do you know this?", "Do you recognise this?", "Do you recognize anything here?", "What am I looking at?",
    "What is on the table?", "What is standing there?", "What have I got here?", "Can you tell me what this is?",
    "Tell me what you see.", "Tell me what this is.", "Name the thing in the picture.", "Identify this.",
    "Name what you see.", "What is the name of this?", "What is its name?", "Which one is this?", "Guess what this is",
)  # fmt: skip
CAPTION = (
    "Describe this picture.", "Describe the picture.", "Describe the image.", "Describe this image in one sentence.",
    "Describe what you see.", "Describe what you see in one sentence.", "Describe the photo", "describe this",
    "Give a caption.", "Write a caption for this picture.", "Write a caption for this image.", "Caption this image.",
    "Give me a short caption of this image.", "Can you describe this photo?", "Please describe the picture in detail.",
    "Give a short and clear explanation of this image.", "Provide a personalized caption.", "Summarise this picture.",
    "What is happening in this picture?", "Make a caption", "Describe the scene.", "Explain what is shown here.",
)  # fmt: skip
WHICH = (
    "Which of my things is in this picture?", "Which of my things is here?", "Which of my things are here?",
    "Is one of my things in the picture?", "Do you see any of my things?", "Are any of my things here?",
    "Which of them is in the picture?", "Which one do you see?", "Is anything of mine in this image?",
    "Is there something of mine here?", "Do you know anything in this picture?",
)  # fmt: skip
WHERE = (
    "Where is {}?", "where is {}", "Where do you see {}?", "Where in the picture is {}?", "Can you find {}?",
    "On which side is {}?", "Find {}.", "Where can I find {} in this image?", "Show me where {} is.",
)  # fmt: skip
PRESENT = (
    "Is {} in the picture?", "Is {} in this picture?", "Is {} in this image?", "Is {} here?", "Is this {}?",
    "is this {}?", "Do you see {}?", "Can you see {} in the photo?", "Is {} in the photo? Answer yes or no.",
    "Does {} appear in this image?", "Can you see {}?", "Is {} visible?", "Is that {}?", "Is there {} in the picture?",
    "Do you see {} in this picture? Answer with yes or no.", "Tell me if {} is in this image.",
)  # fmt: skip
ABOUT = (
    "Tell me about {}.", "Tell me about {}", "Who is {}?", "What is {}?", "What do you know about {}?",
    "What does {} look like?", "Describe {}.", "Describe {} for me.", "What did I tell you about {}?", "who is {}",
    "Can you describe {}?", "How does {} look?", "Tell me something about {}.", "What kind of thing is {}?",
)  # fmt: skip
COLOUR = (
    "What colour is {}?", "What color is {}?", "what color is {}", "Which colour does {} have?",
    "Which color has {}?", "What is the colour of {}?", "Tell me the color of {}.",
)  # fmt: skip
PATTERN = (
    "What pattern does {} have?", "What is the pattern of {}?", "Which pattern is on {}?", "What is on {}?",
    "Does {} have a pattern?", "What pattern is on {}?",
)  # fmt: skip
TALK = (
    ("Hello", "Hello. Show me a picture, and I will tell you what I see."),
    ("Hi!", "Hello. Show me a picture, and I will tell you what I see."),
    ("hey there", "Hello. Show me a picture, and I will tell you what I see."),
    ("Good morning", "Hello. Show me a picture, and I will tell you what I see."),
    ("Thank you", "You are welcome."),
    ("thanks!", "You are welcome."),
    ("Thank you, bye.", "You are welcome."),
    ("Who are you?", "I am a small model that knows your things."),
    ("What are you?", "I am a small model that knows your things."),
    ("What can you do?", "I can tell you about your things and your pictures."),
    ("How can you help me?", "I can tell you about your things and your pictures."),
    ("", "Show me a picture, or ask me about one of your things."),
    ("?", "Show me a picture, or ask me about one of your things."),
    ("What is this?", "Show me a picture, or ask me about one of your things."),
    ("Describe the picture.", "Show me a picture, or ask me about one of your things."),
)
ODD = (
    "What is the capital of {}?", "Write a poem about {}", "How much is {} and {}?", "Translate {} to French",
    "Why is the {} {}?", "{} {} {}", "Explain {} to me", "How do I cook {}?", "What is the best {} for a {}?",
    "Say {}", "Write code that prints {}", "When was {} born?", "{}", "Who invented the {}?", "Count to {}",
)  # fmt: skip
ODD_ANSWER = "I only know your things and your pictures."
UNKNOWN = "I do not know that name."
ABSENT = "It is not in the picture."
FIRST_NAMES = ("Anna", "Tom", "my mother", "my brother", "Lena", "a friend", "Jonas", "my aunt", "Mia", "Ravi", "Yuki")
PLACES = ("Lisbon", "Berlin", "the market", "Kyoto", "a small shop", "Oslo", "the attic", "Paris", "a flea market")
ROOMS = ("the kitchen", "the garden", "my desk", "the living room", "the shelf", "my room", "the car", "the office")
MANNERS = (
    "shy", "brave", "very old", "quite new", "a bit broken", "playful", "sleepy", "fragile", "heavy", "friendly",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence in an info, a question about it ({} is the name), and the answer's end."""

    sentence: str
    questions: tuple[str, ...]
    answer: str


def sample_fact(rng: np.random.Generator) -> Fact:
    """Something that cannot be seen."""
    who, place, room = pick(rng, FIRST_NAMES), pick(rng, PLACES), pick(rng, ROOMS)
    word = any_word(rng)
    subject = pick(rng, ("It", "He", "She"))
    years = int(rng.integers(2, 30))
    manner = pick(rng, MANNERS)
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


def any_name(rng: np.random.Generator) -> str:
    """A handle: the world's names, their capitals, two words, or any characters at all."""
    kind = rng.random()
    if kind < 0.5:
        return sample_name(rng)
    if kind < 0.62:
        return sample_name(rng).capitalize()
    if kind < 0.72:
        return f"{pick(rng, ('my', 'the', 'Mr', 'our', any_word(rng)))} {any_word(rng)}"
    if kind < 0.82:
        end = any_word(rng) if rng.random() < 0.5 else str(rng.integers(1000))
        return f"{any_word(rng)}{pick(rng, ('-', '_', '', '.'))}{end}"
    letters = pick(rng, _ALPHABETS)
    return "".join(letters[int(i)] for i in rng.integers(len(letters), size=int(rng.integers(2, 10))))


def any_word(rng: np.random.Generator) -> str:
    """A common noun, or one that exists nowhere."""
    if rng.random() < 0.5:
        return pick(rng, _WORDS)
    cuts = [pick(rng, _HEADS) + pick(rng, _VOWELS) for _ in range(int(rng.integers(1, 4)))]
    return "".join(cuts) + pick(rng, _ENDS)


def any_phrase(rng: np.random.Generator) -> str:
    """A noun phrase of any words: "a striped kettle with two woven stores"."""
    words = [any_word(rng) for _ in range(int(rng.integers(1, 4)))]
    if rng.random() < 0.6:
        words.insert(0, pick(rng, tuple(COLOURS)))
    phrase = f"{pick(rng, ('a', 'a', 'an', 'my', 'the'))} {' '.join(words)}"
    if rng.random() < 0.6:
        joint = pick(rng, ("with", "of", "from", "and", "that has", "in", "with a", "made of", "for"))
        phrase += f" {joint} {' '.join(any_word(rng) for _ in range(int(rng.integers(1, 5))))}"
    if rng.random() < 0.2:
        phrase += f", {pick(rng, ('and', 'with', 'very', 'always'))} {any_word(rng)} {any_word(rng)}"
    return phrase


def written(name: str, phrase: str, rng: np.random.Generator) -> str:
    """An info's first sentence."""
    forms = (
        f"<{name}> is {phrase}.", f"<{name}> is {phrase}.", f"<{name}> is {phrase}.", f"This is <{name}>, {phrase}.",
        f"<{name}>: {phrase}.", f"Meet <{name}>, {phrase}.", f"<{name}> is the name of {phrase}.",
        f"Here is <{name}>. It is {phrase}.", f"This is {phrase}.", f"{phrase[0].upper()}{phrase[1:]}.", f"{phrase}",
        f"It is {phrase}.", f"{name} is {phrase}.", f"{name.capitalize()} is {phrase}",
    )  # fmt: skip
    return forms[int(rng.integers(len(forms)))]


def told(thing: Thing | None, rng: np.random.Generator) -> str:
    """What an owner says about the thing; nothing the picture shows where it is None."""
    return any_phrase(rng) if thing is None else describe(thing, rng)


def joined(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def names_in(text: str) -> list[str]:
    """The handles in an answer, without brackets, in order."""
    return _NAMED.findall(text)


def pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    """One of the options."""
    return options[int(rng.integers(len(options)))]


_NAMED = re.compile(r"<([^<>\n]+)>")
_HEADS = ("b", "st", "c", "d", "fl", "g", "h", "k", "l", "m", "n", "p", "qu", "r", "s", "th", "v", "w")
_VOWELS = tuple("aeiou")
_ENDS = ("", "n", "r", "t", "st", "ck", "ng", "l", "ss", "m", "ble", "ty")
_ALPHABETS = ("abcdefghijklmnopqrstuvwxyz", "aeiouklmnrst", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcäöüéñøçxyz0189")
_WORDS = tuple(OBJECT_WORDS.split())
