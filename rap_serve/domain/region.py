"""Pictures, and where in them something is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.errors import InvalidInput

Pixels: TypeAlias = NDArray[np.uint8]
"""RGB picture, (height, width, 3), 0-255."""

BoxXyxy: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of the picture it belongs to."""

BoxShares: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of the picture's width and height, 0-1."""

WHOLE_PICTURE = "picture"


@dataclass(frozen=True, slots=True)
class Region:
    """A box in a picture that may show a concept. ``score``: the detector's, 0-1."""

    box_xyxy: BoxXyxy
    label: str
    score: float


def whole_picture(pixels: Pixels) -> Region:
    """The region that covers all of a picture."""
    height, width = pixels.shape[:2]
    return Region((0.0, 0.0, float(width), float(height)), WHOLE_PICTURE, 1.0)


def scaled(box: BoxXyxy, factor: float) -> BoxXyxy:
    """The same box in a picture ``factor`` times the size."""
    return (box[0] * factor, box[1] * factor, box[2] * factor, box[3] * factor)


def shares_of(box: BoxXyxy, width: float, height: float) -> BoxShares:
    """The box as shares of a picture of that size, in the box's pixels."""
    return (box[0] / width, box[1] / height, box[2] / width, box[3] / height)


def checked_box(box: Sequence[float], width: float, height: float) -> BoxXyxy:
    """``box`` clipped to a picture of that size; raises InvalidInput where nothing of it is left."""
    if len(box) != 4 or not all(np.isfinite(box)):
        raise InvalidInput("A box is four finite numbers: left, top, right, bottom, in pixels.")
    x0, y0, x1, y1 = (float(v) for v in box)
    left, right = max(0.0, x0), min(float(width), x1)
    top, bottom = max(0.0, y0), min(float(height), y1)
    if right - left < 1.0 or bottom - top < 1.0:
        raise InvalidInput(f"The box {[x0, y0, x1, y1]} covers nothing of a picture of {width} x {height} pixels.")
    return (left, top, right, bottom)


def cut_out(image: Pixels, box: BoxXyxy) -> Pixels:
    """The pixels that the box touches, at least one each way, as a picture of its own.

    Raises InvalidInput where the box covers nothing of the picture.
    """
    height, width = image.shape[:2]
    x0, y0, x1, y1 = checked_box(box, width, height)
    return np.ascontiguousarray(image[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))])


def intersection_over_union(a: BoxXyxy, b: BoxXyxy) -> float:
    """Overlap of two boxes, 0-1."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    return shared / (area_a + area_b - shared)
