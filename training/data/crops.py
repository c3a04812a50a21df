"""Pictures from files, what a box cuts out of them, and the same thing looking a little different.

The paper makes its second views with rotation, flipping and a network for novel views. There is no such network
here: light, colour, shear, turn and mirror stand in for it. Things of the generated world are drawn anew from
another side instead, which is a novel view in earnest.
"""

from __future__ import annotations

import io
import math
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from rap_serve.domain.region import BoxXyxy, Pixels

MARGIN = 0.05
LONGEST_SIDE_PX = 224
MOST_PIXELS = 100_000_000
BOX_TOLERANCE_PX = 1.0  # datasets round their boxes


class UnreadableImage(ValueError):
    """A file that is no picture, or one too large to decode."""


def load_picture(path: Path) -> Pixels:
    """The picture, upright; raises FileNotFoundError or UnreadableImage."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(path.read_bytes())) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise UnreadableImage(f"{image.width} x {image.height} pixels are too many")
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"), np.uint8)
    except FileNotFoundError:
        raise
    except (OSError, SyntaxError, ValueError, ImportError, Image.DecompressionBombError) as error:
        # ImportError: ultralytics, where it is loaded, makes Pillow ask for a decoder that is not installed.
        raise UnreadableImage(str(error) or "no picture") from error


def box_fault(box: object, size: tuple[int, int] | None = None) -> str:
    """What is wrong with a box (left, top, right, bottom in pixels), empty where nothing is.

    ``size``: width and height of its picture, where they are known.
    """
    if not isinstance(box, list | tuple) or len(box) != 4 or not all(_is_number(v) for v in box):
        return "a box is four numbers"
    x0, y0, x1, y1 = (float(v) for v in box)
    if not all(math.isfinite(v) for v in (x0, y0, x1, y1)):
        return "it is not finite"
    if x1 < x0 or y1 < y0:
        return "its width or height is negative"
    if min(x0, y0) < -BOX_TOLERANCE_PX:
        return "it begins at a negative place"
    if x1 - x0 < 1 or y1 - y0 < 1:
        return "it is empty"
    if size and (x1 > size[0] + BOX_TOLERANCE_PX or y1 > size[1] + BOX_TOLERANCE_PX):
        return f"it reaches outside of its picture of {size[0]} x {size[1]} pixels"
    return ""


def cut(pixels: Pixels, box: BoxXyxy) -> Pixels:
    """What lies in the box and a little around it, at most 224 pixels long."""
    height, width = pixels.shape[:2]
    pad_x, pad_y = MARGIN * (box[2] - box[0]), MARGIN * (box[3] - box[1])
    left, top = max(0, int(box[0] - pad_x)), max(0, int(box[1] - pad_y))
    right, bottom = min(width, math.ceil(box[2] + pad_x)), min(height, math.ceil(box[3] + pad_y))
    crop = pixels[top:bottom, left:right]
    scale = LONGEST_SIDE_PX / max(crop.shape[:2])
    if scale >= 1:
        return np.ascontiguousarray(crop)
    size = (max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale)))
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.uint8)


def augmented(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """The crop turned, sheared, now and then mirrored, in another light and through another camera."""
    height, width = crop.shape[:2]
    turn, shear = np.radians(rng.normal(0, 8)), rng.normal(0, 0.06)
    scale = np.exp(rng.normal(0.04, 0.06, 2)) * (-1 if rng.random() < 0.25 else 1, 1)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]] * scale
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    matrix = np.hstack([linear, (middle - linear @ middle)[:, None]])
    moved = cv2.warpAffine(crop, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return _relit(np.asarray(moved, np.uint8), rng)


def jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """The picture as a JPEG file."""
    _, code = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(code)


def _relit(crop: Pixels, rng: np.random.Generator) -> Pixels:
    photo = crop.astype(np.float32)
    grey = photo.mean(axis=2, keepdims=True)
    photo = grey + (photo - grey) * np.float32(rng.uniform(0.7, 1.25))
    photo = (photo - 127) * np.float32(rng.uniform(0.8, 1.2)) + 127
    photo *= np.exp(rng.normal(0, 0.05, 3) + rng.normal(0, 0.15)).astype(np.float32)
    if rng.random() < 0.3:
        photo = np.asarray(cv2.GaussianBlur(photo, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    photo += rng.normal(0, rng.uniform(0, 6), photo.shape).astype(np.float32)
    return np.clip(photo, 0, 255).astype(np.uint8)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
