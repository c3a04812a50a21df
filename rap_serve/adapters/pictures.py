"""Pictures from data URLs, https URLs and raw bytes: checked, upright, RGB, of bounded size.

Nothing here trusts the sender. Sizes are read from the header before a pixel is decoded, only still JPEG,
PNG and WebP pass, metadata (a phone's position among it) is dropped, and an address is fetched only if all
that its name resolves to is public. What is kept is encoded anew, but for a JPEG that holds pixels alone: what was
stored and given out comes back as it was.
"""

import asyncio
import base64
import binascii
import hashlib
import io
import warnings
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from rap_serve.adapters.public_http import fetch_public
from rap_serve.domain.errors import InvalidImage, RapError, TooLarge
from rap_serve.domain.ports import Picture
from rap_serve.domain.region import BoxXyxy
from rap_serve.settings import LimitSettings

_FORMATS = ("JPEG", "PNG", "WEBP")
_PHONE_JPEG = "MPO"  # a JPEG with a second view or a depth map behind it; the first is the picture
_JPEG_QUALITY = 90
_ORIENTATION = 0x0112  # EXIF 2.3, 4.6.4 A: from 5 on, rows and columns are swapped
_FIRST_TURNED = 5
_START, _END, _SCAN, _JFIF = b"\xff\xd8", b"\xff\xd9", b"\xff\xda", b"\xff\xe0"
_JFIF_BYTES = 16  # without a thumbnail
_NEEDED = {_JFIF, _SCAN, *(bytes((0xFF, code)) for code in (0xDB, 0xC0, 0xC2, 0xC4, 0xDD))}
_WITHIN_SCAN = {bytes((code,)) for code in (0x00, *range(0xD0, 0xD8))}
_NOT_A_PICTURE = "This is not a picture that can be read: send a complete, still JPEG, PNG or WebP."


class PictureLoader:
    """The port ``Pictures``. Decoding runs in threads."""

    def __init__(self, limits: LimitSettings) -> None:
        self._limits = limits

    async def load(self, reference: str | bytes) -> Picture:
        """The picture behind ``reference``; see ``rap_serve.domain.ports.Pictures``."""
        data = reference if isinstance(reference, bytes) else await self._read(reference)
        return await asyncio.to_thread(self._decoded, data)

    async def load_each(self, files: Sequence[bytes]) -> list[Picture | RapError]:
        """See Pictures; all in one thread."""
        return await asyncio.to_thread(lambda: [self._loaded(data) for data in files])

    async def cropped(self, picture: Picture, box_xyxy: BoxXyxy) -> Picture:
        """What of ``picture`` lies in the box, as a picture of its own."""
        return await asyncio.to_thread(_cropped, picture, box_xyxy)

    async def _read(self, reference: str) -> bytes:
        if reference.startswith("data:"):
            return _data_url_bytes(reference)
        return await fetch_public(
            reference, limit_bytes=self._limits.picture_bytes, timeout_seconds=self._limits.fetch_seconds
        )

    def _loaded(self, data: bytes) -> Picture | RapError:
        try:
            return self._decoded(data)
        except RapError as error:
            return error

    def _decoded(self, data: bytes) -> Picture:
        if not data:
            raise InvalidImage("The picture is empty: it has no bytes.")
        if len(data) > self._limits.picture_bytes:
            raise TooLarge(f"A picture is at most {self._limits.picture_bytes:,} bytes; this one has {len(data):,}.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = Image.open(io.BytesIO(data), formats=_FORMATS)
                self._check(image)
                full_size = image.size
                image.draft("RGB", (self._limits.picture_side_px,) * 2)
                image.load()
        except Image.DecompressionBombError as error:
            raise TooLarge(f"A picture is at most {self._limits.picture_pixels:,} pixels.") from error
        except (OSError, SyntaxError, ValueError, ImportError) as error:  # ImportError: a decoder that is not here
            raise InvalidImage(_NOT_A_PICTURE) from error
        turned = image.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED
        rgb = _rgb(ImageOps.exif_transpose(image) if image.getexif() else image)
        rgb.thumbnail((self._limits.picture_side_px,) * 2, Image.Resampling.LANCZOS)
        size = full_size[::-1] if turned else full_size
        digest = hashlib.sha256(data).hexdigest()
        if rgb.size == full_size and rgb is image and is_bare_jpeg(data):
            return Picture(np.array(rgb), size, data, "image/jpeg", digest, verbatim=True)
        return _picture(rgb, original_size=size, digest=digest)

    def _check(self, image: Image.Image) -> None:
        width, height = image.size
        if width * height > self._limits.picture_pixels:
            raise TooLarge(
                f"A picture is at most {self._limits.picture_pixels:,} pixels; this one is {width} x {height}."
            )
        if getattr(image, "n_frames", 1) > 1 and image.format != _PHONE_JPEG:
            raise InvalidImage("This picture is animated: send a still one.")


def is_bare_jpeg(data: bytes) -> bool:
    """Whether these are the segments that a JPEG needs for its pixels, and not a byte more (ITU-T T.81, B.1)."""
    if not data.startswith(_START):
        return False
    at = len(_START)
    while data[at : at + 2] != _END:
        marker, length = data[at : at + 2], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker not in _NEEDED or (marker == _JFIF and length != _JFIF_BYTES):
            return False
        at += 2 + length
        if marker == _SCAN:
            at = _end_of_scan(data, at)
    return at + len(_END) == len(data)


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the next marker is that does not belong to the scan; the end where there is none."""
    while (at := data.find(b"\xff", at)) >= 0 and (data[at + 1 : at + 2] in _WITHIN_SCAN):
        at += 2
    return at if at >= 0 else len(data)


def _data_url_bytes(url: str) -> bytes:
    head, comma, body = url.partition(",")
    if not comma or not head.endswith(";base64") or not head.startswith("data:image/"):
        raise InvalidImage("A data URL of a picture reads data:image/jpeg;base64,... (or png, webp).")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidImage("The data URL is not valid base64.") from error


def _rgb(image: Image.Image) -> Image.Image:
    """``image`` as RGB, on white where it is transparent."""
    if image.mode == "RGB":
        return image
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", rgba.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB")


def _picture(rgb: Image.Image, *, original_size: tuple[int, int], digest: str) -> Picture:
    pixels, encoded = np.array(rgb), io.BytesIO()
    Image.fromarray(pixels).save(encoded, "JPEG", quality=_JPEG_QUALITY)  # ``rgb`` itself would bring its comment along
    return Picture(pixels, original_size, encoded.getvalue(), "image/jpeg", digest)


def _cropped(picture: Picture, box_xyxy: BoxXyxy) -> Picture:
    x0, y0, x1, y1 = (round(v) for v in box_xyxy)
    crop = Image.fromarray(picture.pixels).crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))
    digest = hashlib.sha256(f"{picture.digest}:{box_xyxy}".encode()).hexdigest()
    return _picture(crop, original_size=crop.size, digest=digest)
