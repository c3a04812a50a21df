"""Pictures that travel once: what the gateway sends, and what a replica holds."""

import io

import pytest
from PIL import Image

from rap_serve.adapters.held_pictures import HeldPictures
from rap_serve.adapters.picture_sender import PictureSender
from rap_serve.domain.lru import ByteLru
from rap_serve.domain.prompt import ImagePart, ImageRef, TextPart, Turn
from rap_serve.domain.sent import Lacking, SentPicture, SentTurn


def jpeg(colour: str) -> ImagePart:
    """A picture of 10 x 10, which is 300 bytes decoded."""
    out = io.BytesIO()
    Image.new("RGB", (10, 10), colour).save(out, "JPEG")
    return ImagePart(out.getvalue())


def turn(*names: str) -> Turn:
    """A question with pictures of these names."""

    async def load() -> ImagePart:
        return jpeg("red")

    return Turn("user", (*(ImageRef(name, load) for name in names), TextPart("What?")))


def pictures(turns: tuple[SentTurn, ...]) -> list[bool]:
    """Which pictures go with their bytes."""
    return [part.image is not None for t in turns for part in t.parts if isinstance(part, SentPicture)]


async def test_a_picture_goes_with_its_bytes_until_it_has_arrived() -> None:
    """And again where everything is asked for."""
    told: list[tuple[int, int]] = []
    sender = PictureSender(lambda sent, spared: told.append((sent, spared)))
    first = await sender.packed([turn("a", "b")], "ann", whole=False)
    again = await sender.packed([turn("a")], "ann", whole=False)
    sender.arrived(first)
    later = await sender.packed([turn("a", "c")], "ann", whole=False)
    whole = await sender.packed([turn("a", "c")], "ann", whole=True)
    assert [pictures(t) for t in (first, again, later, whole)] == [[True, True], [True], [False, True], [True, True]]
    assert told == [(2, 0), (1, 0), (1, 1), (2, 0)]


async def test_what_one_owner_sent_is_not_taken_as_sent_by_another() -> None:
    """Each has keys of its own."""
    sender = PictureSender(lambda sent, spared: None)
    sender.arrived(await sender.packed([turn("a")], "ann", whole=False))
    assert sender.holds("ann", "a") and not sender.holds("bob", "a")


def sent(key: str, image: ImagePart | None = None) -> list[SentTurn]:
    """A conversation with one picture."""
    return [SentTurn("user", (SentPicture(key, image), TextPart("What?")))]


async def test_a_replica_says_what_it_lacks_and_holds_what_came() -> None:
    """Decoded once."""
    held = HeldPictures(max_bytes=1_000, idle_seconds=60)
    assert await held.taken_in(sent("k")) == Lacking(("k",))
    came = await held.taken_in(sent("k", jpeg("red")))
    again = await held.taken_in(sent("k"))
    assert isinstance(came, dict) and isinstance(again, dict)
    assert came["k"] is again["k"]


async def test_a_replica_holds_no_more_than_it_may() -> None:
    """What it gave up it says it lacks, and what is too large is used all the same."""
    held = HeldPictures(max_bytes=700, idle_seconds=60)
    for key in "abc":
        await held.taken_in(sent(key, jpeg("red")))
    assert isinstance(await held.taken_in(sent("a")), Lacking)
    assert isinstance(await held.taken_in(sent("c")), dict)
    assert isinstance(await HeldPictures(max_bytes=1, idle_seconds=60).taken_in(sent("a", jpeg("red"))), dict)


async def test_what_nobody_asks_for_is_dropped() -> None:
    """So the pictures of who was erased do not stay."""
    held = HeldPictures(max_bytes=1_000, idle_seconds=0)
    await held.taken_in(sent("k", jpeg("red")))
    held.drop_idle()
    assert isinstance(await held.taken_in(sent("k")), Lacking)


@pytest.mark.parametrize(("seconds", "kept"), [(4, {"b", "c"}), (3, {"c"}), (0, set())])
def test_idleness_counts_from_the_last_use(seconds: float, kept: set[str]) -> None:
    """However long ago a value came."""
    clock = iter((0.0, 1.0, 2.0, 3.0, 4.0, 6.5))
    lru: ByteLru[int] = ByteLru(10, clock=lambda: next(clock))
    for key in "abc":
        lru.put(key, 1, 1)
    for key in "bc":
        lru.get(key)
    lru.drop_idle(seconds)
    assert {key for key in "abc" if key in lru} == kept
