"""The replica's half of sending a picture once: decoded pictures, ready for the engine."""

import asyncio
import io
from collections.abc import Sequence
from itertools import chain

from PIL import Image

from rap_serve.domain.lru import ByteLru
from rap_serve.domain.prompt import ImagePart
from rap_serve.domain.sent import Lacking, SentPicture, SentTurn


class HeldPictures:
    """Bounded by size, and by the time since a picture was used last."""

    def __init__(self, *, max_bytes: int, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._images: ByteLru[Image.Image] = ByteLru(max_bytes)

    async def taken_in(self, turns: Sequence[SentTurn]) -> dict[str, Image.Image] | Lacking:
        """All pictures of ``turns`` by key, those that came held from now on; or what is neither here nor came."""
        pictures = [p for p in chain.from_iterable(t.parts for t in turns) if isinstance(p, SentPicture)]
        images = {p.key: image for p in pictures if (image := self._images.get(p.key)) is not None}
        absent = {p.key: p.image for p in pictures if p.key not in images}
        if lacking := tuple(key for key, sent in absent.items() if sent is None):
            return Lacking(lacking)
        came = [(key, sent) for key, sent in absent.items() if sent is not None]
        if came:
            decoded = await asyncio.to_thread(lambda: [(key, _decoded(sent)) for key, sent in came])
            for key, image in decoded:
                self._images.put(key, image, image.width * image.height * len(image.getbands()))
                images[key] = image
        return images

    def drop_idle(self) -> None:
        """To be called now and then: what nobody asks for, such as the pictures of erased owners, does not stay."""
        self._images.drop_idle(self._idle_seconds)


def _decoded(part: ImagePart) -> Image.Image:
    """The picture, in RGB. The gateway has checked it."""
    return Image.open(io.BytesIO(part.data)).convert("RGB")
