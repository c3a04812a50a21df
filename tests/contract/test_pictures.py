"""Pictures that strangers send."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from rap_serve.adapters.pictures import PictureLoader
from rap_serve.adapters.public_http import is_public
from rap_serve.domain.errors import InvalidImage, TooLarge, UnsafeImageUrl
from rap_serve.settings import LimitSettings

LOADER = PictureLoader(LimitSettings(picture_side_px=200))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """The picture as a file."""
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_of_claimed_size(width: int, height: int) -> bytes:
    """A tiny file whose header claims a huge picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
async def test_still_pictures_come_in_as_rgb(kind: str) -> None:
    """Raw bytes and data URLs give the same picture."""
    data = encoded(Image.new("RGB", (60, 40), (200, 10, 10)), kind)
    picture = await LOADER.load(data)
    again = await LOADER.load(f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}")
    assert picture.pixels.shape == (40, 60, 3) and picture.digest == again.digest
    assert np.abs(picture.pixels[20, 30].astype(int) - (200, 10, 10)).max() < 6


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
EXIF = Image.Exif()
EXIF[0x010E] = "where I live"


@pytest.mark.parametrize("options", [{"quality": 60}, {"progressive": True}, {"restart_marker_blocks": 2}])
async def test_a_jpeg_of_pixels_alone_is_kept_as_it_is(options: dict[str, object]) -> None:
    """So that nothing is lost by giving it out and taking it in; what it was made into before is such a one."""
    data = encoded(NOISE, **options)
    picture = await LOADER.load(data)
    assert picture.data == data and picture.verbatim
    first = await LOADER.load(encoded(NOISE, "PNG"))
    second = await LOADER.load(first.data)
    assert not first.verbatim and second.verbatim and second.data == first.data


@pytest.mark.parametrize(
    "data",
    [
        encoded(NOISE, exif=EXIF),
        encoded(NOISE, comment=b"where I live"),
        encoded(NOISE) + b"where I live",
        encoded(NOISE.convert("L")) + b"where I live",
        encoded(NOISE.resize((400, 300)), comment=b"where I live"),
    ],
    ids=["exif", "comment", "behind its end", "grey", "large"],
)
async def test_whatever_else_a_picture_holds_is_left_behind(data: bytes) -> None:
    """By encoding it anew."""
    picture = await LOADER.load(data)
    assert not picture.verbatim and picture.data != data and b"where I live" not in picture.data
    assert (await LOADER.load(picture.data)).verbatim


async def test_a_large_picture_is_made_smaller_and_remembers_its_size() -> None:
    """Boxes are spoken of in pixels as sent."""
    picture = await LOADER.load(encoded(Image.new("RGB", (800, 400))))
    assert picture.pixels.shape == (100, 200, 3)
    assert picture.original_size == (800, 400) and picture.scale == pytest.approx(0.25)


async def test_a_phones_sideways_picture_stands_upright() -> None:
    """EXIF orientation is applied, then dropped with all other metadata."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "where I live"
    picture = await LOADER.load(encoded(Image.new("RGB", (120, 60)), exif=exif))
    assert picture.pixels.shape == (120, 60, 3) and picture.original_size == (60, 120)
    assert b"where I live" not in picture.data


async def test_transparency_becomes_white() -> None:
    """A cut-out has a plain background."""
    picture = await LOADER.load(encoded(Image.new("RGBA", (10, 10), (0, 0, 0, 0)), "PNG"))
    assert picture.pixels.min() == 255


GIF = encoded(Image.new("P", (8, 8)), "GIF", save_all=True, append_images=[Image.new("P", (8, 8), 1)])
APNG = encoded(Image.new("RGB", (8, 8)), "PNG", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])
TRUNCATED = encoded(Image.effect_noise((300, 300), 80))[:2_000]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidImage),
        (b"not a picture", InvalidImage),
        (TRUNCATED, InvalidImage),
        (GIF, InvalidImage),
        (APNG, InvalidImage),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", InvalidImage),
        (png_of_claimed_size(30_000, 30_000), TooLarge),
        (png_of_claimed_size(0, 10), InvalidImage),
        (b"x" * 10_000_001, TooLarge),
    ],
    ids=["empty", "text", "truncated", "gif", "apng", "svg", "bomb", "no-width", "large"],
)
async def test_what_is_no_usable_picture_is_refused(data: bytes, error: type[Exception]) -> None:
    """With an error that says why, before anything is decoded in full."""
    with pytest.raises(error):
        await LOADER.load(data)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.jpg",
        "https://127.0.0.1/a.jpg",
        "https://localhost/a.jpg",
        "https://[::1]/a.jpg",
        "https://[::ffff:10.0.0.1]/a.jpg",
        "https://10.0.0.7/a.jpg",
        "https://192.168.1.1/a.jpg",
        "https://169.254.169.254/latest/meta-data",
        "https://0x7f000001/a.jpg",
        "https://2130706433/a.jpg",
        "https://user:secret@example.com/a.jpg",
        "https://example.com:8443/a.jpg",
        "https://example.com:port/a.jpg",
        "https://[::1/a.jpg",
        "file:///etc/passwd",
        "ftp://example.com/a.jpg",
        "/etc/passwd",
        "",
    ],
)
async def test_addresses_inside_are_never_fetched(url: str) -> None:
    """Nobody reaches the private network through the picture loader."""
    with pytest.raises(UnsafeImageUrl):
        await LOADER.load(url)


@pytest.mark.parametrize(
    "url", ["data:text/plain;base64,aGk=", "data:image/png,abc", "data:image/png;base64,%%%", "data:"]
)
async def test_a_broken_data_url_is_refused(url: str) -> None:
    """It must be base64 and call itself a picture."""
    with pytest.raises(InvalidImage):
        await LOADER.load(url)


def test_what_counts_as_public() -> None:
    """IPv4 hidden inside IPv6 is looked into."""
    assert is_public("8.8.8.8") and is_public("2001:4860:4860::8888")
    assert not any(map(is_public, ["::ffff:127.0.0.1", "2002:7f00:1::", "100.64.0.1", "224.0.0.1", "fe80::1%eth0"]))


async def test_a_crop_is_a_picture_of_its_own() -> None:
    """With its own size and digest."""
    picture = await LOADER.load(encoded(Image.new("RGB", (100, 100))))
    crop = await LOADER.cropped(picture, (10, 20, 60, 40))
    assert crop.pixels.shape == (20, 50, 3) and crop.digest != picture.digest
