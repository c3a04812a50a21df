"""Pictures for load tests, drawn once: of things alone and in pairs. A new picture is one of them, a little changed."""

import random
from dataclasses import dataclass

import numpy as np

from loadtest import drawn

THINGS = 48
_SCENES = 3


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A picture as requests carry it, and its pixels for making others of it."""

    data_url: str
    pixels: np.ndarray


class Album:
    """For each thing how it is enrolled, and pictures that show it."""

    def __init__(self, things: int = THINGS) -> None:
        self._things = [drawn.thing(10_000 + i) for i in range(things)]
        self._avatars = [drawn.scene([thing], i) for i, thing in enumerate(self._things)]
        self._avatar_urls = [avatar.data_url for avatar in self._avatars]
        self._scenes = [[self._scene(i, n) for n in range(_SCENES)] for i in range(things)]

    def __len__(self) -> int:
        return len(self._things)

    def enrolment(self, thing: int, name: str, info: str) -> dict[str, object]:
        """The body that remembers a thing."""
        avatar = {"image": self._avatar_urls[thing], "box_xyxy": self._avatars[thing].boxes[0]}
        return {"name": name, "category": self._things[thing].category, "info": info, "avatars": [avatar]}

    def category(self, thing: int) -> str:
        return self._things[thing].category

    def known(self, thing: int, rng: random.Random) -> str:
        """One of a few pictures that come again and again."""
        return rng.choice(self._scenes[thing]).data_url

    def new(self, thing: int, rng: random.Random) -> str:
        """A picture that nobody has sent before: moved by a few pixels, in another light."""
        pixels = rng.choice(self._scenes[thing]).pixels
        moved = np.roll(pixels, (rng.randint(-12, 12), rng.randint(-12, 12)), (0, 1))
        lit = moved * np.float32(rng.uniform(0.9, 1.1)) + np.float32(rng.uniform(-6, 6))
        return drawn.data_url(drawn.jpeg(np.clip(lit, 0, 255).astype(np.uint8)))

    def _scene(self, thing: int, number: int) -> Shown:
        """The last of a thing's pictures shows it beside another."""
        things = [self._things[thing]]
        if number == _SCENES - 1:
            things.append(self._things[(thing + 1) % len(self._things)])
        picture = drawn.scene(things, 1_000 * thing + number)
        return Shown(picture.data_url, picture.image)
