"""An annotated picture: where each concept is, and what it is called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from rap_serve.cli.client import CliError
from rap_serve.domain.region import BoxXyxy

LEAST_SIDE_PX = 480
"""Smaller pictures are enlarged, so that a label can be read in them."""

MOST_SIDE_PX = 4_096
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#f032e6", "#9a6324")
_PADDING_PX = 3
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True, slots=True)
class Mark:
    """A box in pixels of the picture, and what is written on it."""

    box_xyxy: BoxXyxy
    label: str


def annotated_file(picture: Path, marks: Sequence[Mark], target: Path) -> None:
    """Writes the picture with its marks to ``target``, in the format that its ending names."""
    try:
        with Image.open(picture) as image:
            drawn = annotated(ImageOps.exif_transpose(image), marks)
        target.parent.mkdir(parents=True, exist_ok=True)
        drawn.save(target)
    except (ValueError, OSError) as error:
        raise CliError(f"The annotated picture cannot be written to {target}: {error}") from error


def annotated(image: Image.Image, marks: Sequence[Mark]) -> Image.Image:
    """A copy of ``image`` with a box and a label per mark; same labels have the same colour."""
    scale = max(1.0, min(LEAST_SIDE_PX / min(image.size), MOST_SIDE_PX / max(image.size)))
    drawn = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
    canvas = ImageDraw.Draw(drawn)
    line = max(2, min(drawn.size) // 200)
    colours = dict(zip(dict.fromkeys(m.label for m in marks), COLOURS * (1 + len(marks) // len(COLOURS)), strict=False))
    boxes = [_inside(m.box_xyxy, scale, drawn.size) for m in marks]
    for mark, box in zip(marks, boxes, strict=True):
        canvas.rectangle(box, outline=colours[mark.label], width=line)
    taken: list[BoxXyxy] = []
    for mark, box in zip(marks, boxes, strict=True):
        taken.append(_write(canvas, mark.label, box, colours[mark.label], drawn.size, taken))
    return drawn


def _inside(box: BoxXyxy, scale: float, size: tuple[int, int]) -> BoxXyxy:
    """The box in the drawn picture, its corners in order and within the edges."""
    x0, x1 = (min(max(v * scale, 0.0), size[0] - 1.0) for v in (box[0], box[2]))
    y0, y1 = (min(max(v * scale, 0.0), size[1] - 1.0) for v in (box[1], box[3]))
    return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def _write(
    canvas: ImageDraw.ImageDraw,
    label: str,
    box: BoxXyxy,
    colour: str,
    size: tuple[int, int],
    taken: Sequence[BoxXyxy],
) -> BoxXyxy:
    """Writes the label above its box, or inside where there is no room; the place it took."""
    font, text, width, height = _fitted(canvas, label, size)
    x = min(box[0], size[0] - width)
    y = box[1] - height if box[1] >= height else min(box[1], size[1] - height)
    while any(_touch((x, y, x + width, y + height), other) for other in taken) and y + 2 * height <= size[1]:
        y += height
    place = (x, y, x + width, y + height)
    canvas.rectangle(place, fill=colour)
    canvas.text((x + _PADDING_PX, y + _PADDING_PX), text, fill="white", font=font, anchor="la")
    return place


def _fitted(canvas: ImageDraw.ImageDraw, label: str, size: tuple[int, int]) -> tuple[Font, str, float, float]:
    """Font, text, width and height of a label that is no wider than the picture."""
    font = ImageFont.load_default(max(16, min(size) // 26))
    text = label
    while len(text) > 1 and canvas.textlength(text, font) + 2 * _PADDING_PX > size[0]:
        text = text[:-2] + "…"
    ascent_and_descent = canvas.textbbox((0, 0), "Ág", font=font, anchor="la")
    return font, text, canvas.textlength(text, font) + 2 * _PADDING_PX, ascent_and_descent[3] + 2 * _PADDING_PX


def _touch(a: BoxXyxy, b: BoxXyxy) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
