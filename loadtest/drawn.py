"""Pictures of things that no model was trained on, as requests carry them."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from training.world.scene import sample_scene
from training.world.text import info_text
from training.world.things import Thing, sample_thing

SIDE = 320


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture of things, with their boxes."""

    image: np.ndarray
    boxes: list[list[float]]

    @property
    def data_url(self) -> str:
        return data_url(jpeg(self.image))


def thing(seed: int, category: str | None = None) -> Thing:
    """Something from the held-out part of the world."""
    return sample_thing(np.random.default_rng(seed), split="test", category=category)


def scene(things: list[Thing], seed: int) -> Drawn:
    """A picture of them."""
    drawn = sample_scene(np.random.default_rng(seed), things, height=SIDE, width=SIDE)
    return Drawn(drawn.image, drawn.boxes_xyxy.tolist())


def concept(name: str, shown: Thing, seed: int) -> dict[str, object]:
    """The body that remembers ``shown``."""
    avatar = scene([shown], seed)
    return {
        "name": name,
        "category": shown.category,
        "info": info_text(shown, name, np.random.default_rng(seed)),
        "avatars": [{"image": avatar.data_url, "box_xyxy": avatar.boxes[0]}],
    }


def jpeg(image: np.ndarray) -> bytes:
    """The picture as a JPEG file."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=90)
    return out.getvalue()


def data_url(data: bytes, kind: str = "jpeg") -> str:
    """The bytes as a data URL."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
