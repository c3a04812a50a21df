"""Questions about owned things whose answers are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rap_serve.cli.eval.pack import Question
from training.eval_packs.album import Owned, Owner, Photo
from training.world.facts import Fact, sample_fact
from training.world.scene import relations
from training.world.things import CATEGORIES, COLOURS, HELD_OUT, KINDS, PATTERNS

OFF_MIDDLE = 0.15
AMBIGUOUS = "can"
"""A kind whose word many answers hold for another reason."""
_LEADING = {
    "is",
    "was",
    "loves",
    "belongs",
    "lives",
    "a",
    "an",
    "the",
    "my",
    "gift",
    "from",
    "to",
    "in",
    "called",
    "after",
}
_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def info_questions(rng: np.random.Generator, owner: Owner, owned: Owned) -> list[Question]:
    """Two multiple-choice questions about what the info states, and an open one about the colour."""
    asked = list(_stated(rng, owned, stated=True))
    chosen = [asked[int(i)] for i in rng.permutation(len(asked))[:2]]
    questions = [choice(rng, owner, owned, text, right, wrong, about="info") for text, right, wrong in chosen]
    colour = f"What colour is <{owned.name}>?"
    return [*questions, _open(owner, owned, colour, owned.thing.base, about="info")]


def looks_questions(rng: np.random.Generator, owner: Owner, owned: Owned) -> list[Question]:
    """A multiple-choice question about something to be seen that the info leaves out, where there is such a thing."""
    asked = list(_stated(rng, owned, stated=False))
    if not asked:
        return []
    text, right, wrong = asked[int(rng.integers(len(asked)))]
    return [choice(rng, owner, owned, text, right, wrong, about="looks")]


def fact_questions(rng: np.random.Generator, owner: Owner, owned: Owned) -> list[Question]:
    """One multiple-choice question about the fact, and the same question open."""
    text = owned.fact.questions[int(rng.integers(len(owned.fact.questions)))].format(f"<{owned.name}>")
    right = key_words(owned.fact)
    while (other := sample_fact(rng)).questions != owned.fact.questions or key_words(other) == right:
        continue
    return [
        choice(rng, owner, owned, text, right, key_words(other), about="fact"),
        _open(owner, owned, text, right, about="fact"),
    ]


def place_questions(rng: np.random.Generator, owner: Owner, photo: Photo, owned: Owned) -> list[Question]:
    """A multiple-choice question about where the thing is in the picture, where it clearly is on a side."""
    asked = [*_sides(photo, owned), *_beside(owner, photo, owned)]
    if not asked:
        return []
    text, right, wrong = asked[int(rng.integers(len(asked)))]
    return [choice(rng, owner, owned, text, right, wrong, about="place")]


def present(owner: Owner, owned: Owned, *, why: str) -> Question:
    """Whether it is in the photo. ``why``: empty where it is, otherwise why not."""
    return Question(
        text=f"Is <{owned.name}> in this photo?",
        user=owner.user,
        concept=owned.name,
        kind="yes-no",
        answer="no" if why else "yes",
        about=why,
        seen=owned.thing.category not in HELD_OUT,
    )


def choice(
    rng: np.random.Generator, owner: Owner, owned: Owned, text: str, right: str, wrong: str, *, about: str
) -> Question:
    """The question with the two options in any order."""
    letter = "AB"[int(rng.integers(2))]
    options = {"A": right if letter == "A" else wrong, "B": wrong if letter == "A" else right}
    return Question(
        text=text,
        user=owner.user,
        concept=owned.name,
        kind="choice",
        answer=letter,
        options=options,
        about=about,
        seen=owned.thing.category not in HELD_OUT,
    )


def key_words(fact: Fact) -> str:
    """The words that answer the question: the end that the fact's sentence and answer share, without its verb."""
    said, answer = fact.sentence.rstrip(".").split(), fact.answer.split()
    count = 0
    while count < min(len(said), len(answer)) and said[-1 - count] == answer[-1 - count]:
        count += 1
    words = answer[len(answer) - count :]
    while len(words) > 1 and words[0] in _LEADING:
        words = words[1:]
    return " ".join(words)


def _open(owner: Owner, owned: Owned, text: str, answer: str, *, about: str) -> Question:
    seen = owned.thing.category not in HELD_OUT
    return Question(text=text, user=owner.user, concept=owned.name, kind="open", answer=answer, about=about, seen=seen)


def _stated(rng: np.random.Generator, owned: Owned, *, stated: bool) -> Iterator[tuple[str, str, str]]:
    """Question, right and wrong option for each attribute that the info states, or for each that it does not."""
    thing, handle, info = owned.thing, f"<{owned.name}>", owned.info
    kind = KINDS[thing.category]
    if stated:
        worn = {thing.base, thing.accent, thing.detail}
        yield f"What colour is {handle}?", thing.base, _other(rng, tuple(COLOURS), worn)
        if thing.category != AMBIGUOUS:
            wrong = _other(rng, CATEGORIES, {thing.category, AMBIGUOUS})
            yield f"What kind of thing is {handle}?", thing.category, wrong
    if thing.pattern in PATTERNS[1:] and thing.pattern != "a wide band" and (thing.pattern in info) is stated:
        wrong = _other(rng, PATTERNS, {thing.pattern, "plain", "a wide band"})
        yield f"Which pattern does {handle} have?", thing.pattern, wrong
    part = kind.parts[thing.part]
    if (part in info) is stated:
        yield f"Which of these does {handle} have?", part, _other(rng, kind.parts, {part})


def _sides(photo: Photo, owned: Owned) -> Iterator[tuple[str, str, str]]:
    """Left or right, top or bottom, where it is clear."""
    index = photo.scene.things.index(owned.thing)
    height, width = photo.scene.image.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in photo.scene.boxes_xyxy[index])
    across, down = (x0 + x1) / 2 / width - 0.5, (y0 + y1) / 2 / height - 0.5
    if abs(across) > OFF_MIDDLE:
        sides = ("left", "right") if across < 0 else ("right", "left")
        yield f"On which side of the picture is <{owned.name}>?", *sides
    if abs(down) > OFF_MIDDLE:
        ends = ("at the top", "at the bottom") if down < 0 else ("at the bottom", "at the top")
        yield f"Where in the picture is <{owned.name}>?", *ends


def _beside(owner: Owner, photo: Photo, owned: Owned) -> Iterator[tuple[str, str, str]]:
    """How it stands to another of the owner's things."""
    things = photo.scene.things
    for i, relation, j in relations(photo.scene):
        other = owner.named(things[j])
        if things[i] == owned.thing and other is not None and relation in _OPPOSITE:
            yield f"Where is <{owned.name}>?", f"{relation} <{other}>", f"{_OPPOSITE[relation]} <{other}>"


def _other(rng: np.random.Generator, options: Sequence[str], excluded: set[str]) -> str:
    left = [o for o in options if o not in excluded]
    return left[int(rng.integers(len(left)))]
