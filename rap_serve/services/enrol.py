"""How a picture becomes an avatar: located, embedded and stored."""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import TypeAlias, TypeVar

from rap_serve.domain.concept import Avatar, Owner, Vector, new_ulid
from rap_serve.domain.errors import InvalidInput, RapError, Unavailable
from rap_serve.domain.match import Matrix
from rap_serve.domain.ports import BlobStore, Detector, NewBlob, Picture, Pictures
from rap_serve.domain.region import BoxXyxy, Pixels, cut_out, scaled, whole_picture
from rap_serve.services.embedding import EmbeddingModel, EmbeddingModels

LEAST_SHARE = 0.02
CROPS_AT_ONCE = 16
"""Crops in one call to an embedder: it prepares the next ones meanwhile, and other callers get in between."""

CALLS_AT_ONCE = 3
"""Of those who embed more than fits into one call, all together: what keeps an embedder busy. Whoever asks about a
picture meanwhile waits for no more than these."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class AvatarDraft:
    """A picture that shows a concept. ``box_xyxy``: where, in pixels as sent; None where nobody said.

    ``shows``: false where it shows something else, that was taken for the concept.

    Raises InvalidInput for a box outside of the picture.
    """

    picture: Picture
    box_xyxy: BoxXyxy | None = None
    shows: bool = True

    def __post_init__(self) -> None:
        if self.box_xyxy is not None:
            self.picture.checked_box(self.box_xyxy)

    @property
    def box_on_pixels(self) -> BoxXyxy | None:
        """The box in pixels of ``picture.pixels``, clipped to them."""
        if self.box_xyxy is None:
            return None
        return scaled(self.picture.checked_box(self.box_xyxy), self.picture.scale)


Asked: TypeAlias = tuple[Sequence[AvatarDraft], str]
"""The pictures of one thing, and its category."""


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """A draft, and what of it is embedded. ``box``: in pixels of ``picture.pixels``; None for all of the picture."""

    draft: AvatarDraft
    box: BoxXyxy | None
    crop: Pixels


class Enrol:
    """Makes avatars. Where no box is given, the detector says where the thing is."""

    def __init__(
        self,
        *,
        detector: Detector,
        models: EmbeddingModels,
        blobs: BlobStore,
        pictures: Pictures,
        fallback: tuple[str, ...],
    ) -> None:
        self._detector = detector
        self._pictures = pictures
        self._models = models
        self._blobs = blobs
        self._fallback = fallback
        self._many = asyncio.Semaphore(CALLS_AT_ONCE)

    async def __call__(self, owner: Owner, drafts: Sequence[AvatarDraft], category: str) -> tuple[Avatar, ...]:
        """The avatars, their pictures durable; pictures are stored only once all are embedded."""
        (enrolled,) = await self.each(owner, [(drafts, category)])
        if isinstance(enrolled, RapError):
            raise enrolled
        return enrolled

    async def each(self, owner: Owner, asked: Sequence[Asked]) -> list[tuple[Avatar, ...] | RapError]:
        """The same for several things at once, each enrolled as a whole or not at all.

        One call embeds many crops, and the pictures are stored together. Raises Unavailable, Overloaded.
        """
        cut = await self._cut([(draft, category) for drafts, category in asked for draft in drafts])
        groups = list(_grouped(cut, [len(drafts) for drafts, _ in asked]))
        refused = [next((c for c in group if isinstance(c, RapError)), None) for group in groups]
        whole = (group for group, error in zip(groups, refused, strict=True) if error is None)
        avatars = iter(await self._enrolled(owner, [c for group in whole for c in group if isinstance(c, _Cut)]))
        return [error or tuple(islice(avatars, len(group))) for group, error in zip(groups, refused, strict=True)]

    async def again(self, owner: Owner, avatars: Sequence[Avatar]) -> tuple[Avatar, ...]:
        """The same avatars, all with an embedding of the model that answers, made anew from the picture."""
        return tuple(await asyncio.gather(*(self.also(owner, a, self._models.current) for a in avatars)))

    async def also(self, owner: Owner, avatar: Avatar, model: EmbeddingModel) -> Avatar:
        """The same avatar, with an embedding of ``model``'s too."""
        version = model.space.version
        if version in avatar.embeddings:
            return avatar
        data, _ = await self._blobs.get(owner, avatar.image_key)
        pixels = (await self._pictures.load(data)).pixels
        rows = await model.embedder.embed(pixels, [avatar.box_in(pixels) or whole_picture(pixels).box_xyxy])
        return replace(avatar, embeddings={**avatar.embeddings, version: rows[0]})

    async def discard(self, owner: Owner, avatars: Iterable[Avatar]) -> None:
        """Deletes the pictures of avatars that no concept holds any more."""
        await self._blobs.delete(owner, [a.image_key for a in avatars])

    async def _cut(self, drafts: Sequence[tuple[AvatarDraft, str]]) -> list[_Cut | RapError]:
        """What of each picture is to be embedded, cut out of the pixels that will be read from the store.

        Who embeds it again makes the same of it.
        """
        boxes = await asyncio.gather(*(self._box(draft, category) for draft, category in drafts))
        lossy = [d.picture.data for d, _ in drafts if not d.picture.verbatim]
        stored = iter(await self._pictures.load_each(lossy) if lossy else ())
        found = []
        for (draft, _), box in zip(drafts, boxes, strict=True):
            picture = draft.picture if draft.picture.verbatim else next(stored)
            found.append(_cut_out(draft, picture, box))
        return found

    async def _enrolled(self, owner: Owner, cut: Sequence[_Cut]) -> list[Avatar]:
        crops = [c.crop for c in cut]
        made = await asyncio.gather(*(self._embedded(model, crops) for model in self._models.all))
        ids = [new_ulid() for _ in cut]
        keys = await self._blobs.put_all(owner, [_blob(i, c.draft.picture) for i, c in zip(ids, cut, strict=True)])
        spaces = [model.space.version for model in self._models.all]
        return [
            Avatar(
                id=avatar_id,
                image_key=key,
                size_bytes=len(c.draft.picture.data),
                picture_size=c.draft.picture.original_size,
                box_xyxy=c.box and scaled(c.box, 1 / c.draft.picture.scale),
                embeddings=dict(zip(spaces, rows, strict=True)),
                shows=c.draft.shows,
            )
            for avatar_id, key, c, *rows in zip(ids, keys, cut, *made, strict=True)
        ]

    async def _embedded(self, model: EmbeddingModel, crops: Sequence[Pixels]) -> list[Vector]:
        if len(crops) <= CROPS_AT_ONCE:
            return list(await model.embedder.embed_crops(crops))

        async def part(start: int) -> Matrix:
            async with self._many:
                return await model.embedder.embed_crops(crops[start : start + CROPS_AT_ONCE])

        made = await asyncio.gather(*map(part, range(0, len(crops), CROPS_AT_ONCE)))
        return [row for rows in made for row in rows]

    async def _box(self, draft: AvatarDraft, category: str) -> BoxXyxy | RapError | None:
        try:
            return draft.box_on_pixels or await self._located(draft.picture, category)
        except InvalidInput as error:
            return error

    async def _located(self, picture: Picture, category: str) -> BoxXyxy | None:
        """The surest region of the category, if it is more than a speck of the picture."""
        vocabulary = (category, *self._fallback) if category else self._fallback
        try:
            regions = await self._detector.detect(picture.pixels, vocabulary)
        except Unavailable:
            return None
        height, width = picture.pixels.shape[:2]
        for region in regions:
            x0, y0, x1, y1 = region.box_xyxy
            if (x1 - x0) * (y1 - y0) >= LEAST_SHARE * width * height:
                return region.box_xyxy
        return None


def _cut_out(draft: AvatarDraft, picture: Picture | RapError, box: BoxXyxy | RapError | None) -> _Cut | RapError:
    """``picture``: as it will be read from the store."""
    if isinstance(picture, RapError):
        return picture
    if isinstance(box, RapError):
        return box
    try:
        return _Cut(draft, box, cut_out(picture.pixels, box) if box else picture.pixels)
    except InvalidInput as error:
        return error


def _blob(avatar_id: str, picture: Picture) -> NewBlob:
    """Under a name of its own: deleting this avatar takes no other's picture away."""
    own_digest = hashlib.sha256(f"{avatar_id}:{picture.digest}".encode()).hexdigest()
    return NewBlob(own_digest, picture.data, picture.media_type)


def _grouped(items: Sequence[T], sizes: Sequence[int]) -> Iterator[Sequence[T]]:
    """``items`` in order, in groups of these sizes."""
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        yield items[end - size : end]
