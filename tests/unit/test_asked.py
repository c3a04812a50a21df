"""Pictures that are asked about again."""

from collections.abc import Sequence

import numpy as np

from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import RapError
from rap_serve.domain.ports import Picture
from rap_serve.domain.region import BoxXyxy
from rap_serve.services.asked import AskedPictures

ANN, BEN = Owner("acme", "ann"), Owner("acme", "ben")
SIDE = 10
WEIGHT = SIDE * SIDE * 3 + len(b"jpeg")


class Counted:
    """The port ``Pictures``: a blank picture for everything, and how often it was asked."""

    def __init__(self) -> None:
        self.loaded: list[str | bytes] = []

    async def load(self, reference: str | bytes) -> Picture:
        """See Pictures."""
        self.loaded.append(reference)
        return Picture(np.zeros((SIDE, SIDE, 3), np.uint8), (SIDE, SIDE), b"jpeg", "image/jpeg", "digest")

    async def load_each(self, files: Sequence[bytes]) -> list[Picture | RapError]:
        """See Pictures."""
        raise NotImplementedError

    async def cropped(self, picture: Picture, box_xyxy: BoxXyxy) -> Picture:
        """See Pictures."""
        raise NotImplementedError


async def test_the_same_picture_is_decoded_once_for_each_owner() -> None:
    """Who sends what another has sent waits as long as if nobody had."""
    pictures = Counted()
    asked = AskedPictures(pictures, max_bytes=10 * WEIGHT)
    first = await asked(ANN, "data:image/png;base64,AAAA")
    assert await asked(ANN, "data:image/png;base64,AAAA") is first
    assert await asked(BEN, "data:image/png;base64,AAAA") is not first
    assert len(pictures.loaded) == 2


async def test_an_address_is_fetched_each_time() -> None:
    """It may show something else by now."""
    pictures = Counted()
    asked = AskedPictures(pictures, max_bytes=10 * WEIGHT)
    for _ in range(2):
        await asked(ANN, "https://example.org/cat.jpg")
    assert len(pictures.loaded) == 2


async def test_what_is_kept_is_bounded() -> None:
    """In bytes of pixels; what was asked about longest ago goes first."""
    pictures = Counted()
    asked = AskedPictures(pictures, max_bytes=2 * WEIGHT)
    for reference in ("data:1", "data:2", "data:3", "data:3", "data:2", "data:1"):
        await asked(ANN, reference)
    assert pictures.loaded == ["data:1", "data:2", "data:3", "data:1"]
