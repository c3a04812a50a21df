"""What benchmarks ask: an owner who has shown the service some things, pictures of them, questions.

The same seed gives the same pictures, so that what is compared is given the same.
"""

from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from loadtest import drawn
from training.world.text import info_text

MAX_TOKENS = 32
QUESTIONS = (
    "What is in this picture?",
    "Describe this picture.",
    "Which of my things is in this picture?",
    "What is this?",
)


@dataclass(frozen=True, eq=False)
class Shown:
    """A concept as it is remembered: the avatar's JPEG and the box in it."""

    name: str
    category: str
    info: str
    jpeg: bytes
    box_xyxy: list[float]

    def body(self) -> dict[str, object]:
        """The request that remembers it."""
        avatar = {"image": drawn.data_url(self.jpeg), "box_xyxy": self.box_xyxy}
        return {"name": self.name, "category": self.category, "info": self.info, "avatars": [avatar]}


@dataclass(frozen=True, eq=False)
class Asked:
    """A picture and a question about it."""

    jpeg: bytes
    pixels: np.ndarray
    question: str

    def body(self, user: str, *, model: str = "rap-tiny", stream: bool = False) -> dict[str, Any]:
        """The chat request."""
        return {
            "model": model,
            "user": user,
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "stream": stream,
            **({"stream_options": {"include_usage": True}} if stream else {}),
            "messages": [{"role": "user", "content": self.content()}],
        }

    def content(self) -> list[dict[str, Any]]:
        """Picture and question as OpenAI's clients send them."""
        url = drawn.data_url(self.jpeg)
        return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": self.question}]


class Album:
    """An owner's things, and any number of pictures that show one or two of them."""

    def __init__(self, concepts: int = 12, *, seed: int = 0) -> None:
        self._seed = seed
        self._things = [drawn.thing(1_000 * seed + n) for n in range(concepts)]
        self.shown = [self._as_shown(n) for n in range(concepts)]

    def pictures(self, count: int, *, seed: int) -> list[Asked]:
        """``count`` pictures, none of which another seed gives."""
        return [self._asked(seed * 100_000 + n) for n in range(count)]

    def remembered(self, http: httpx.Client, user: str) -> dict[str, Shown]:
        """All of them told to the service, by the ids that it gave them."""
        posted = [http.post(f"/v1/users/{user}/concepts", json=s.body()).raise_for_status() for s in self.shown]
        return {answer.json()["id"]: shown for answer, shown in zip(posted, self.shown, strict=True)}

    def _as_shown(self, number: int) -> Shown:
        thing, name = self._things[number], f"thing-{number}"
        scene = drawn.scene([thing], 10_000 * self._seed + number)
        info = info_text(thing, name, np.random.default_rng(number))
        return Shown(name, thing.category, info, drawn.jpeg(scene.image), scene.boxes[0])

    def _asked(self, number: int) -> Asked:
        rng = np.random.default_rng((self._seed, number))
        chosen = rng.choice(len(self._things), size=int(rng.integers(1, 3)), replace=False)
        scene = drawn.scene([self._things[i] for i in chosen], number)
        return Asked(drawn.jpeg(scene.image), scene.image, QUESTIONS[number % len(QUESTIONS)])
