"""How a picture becomes an avatar: located, embedded and stored."""

import asyncio
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from rap_serve.domain.concept import Avatar, Owner, Vector, new_ulid
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.ports import BlobStore, Detector, Picture, Pictures
from rap_serve.domain.region import BoxXyxy, Pixels, scaled, whole_picture
from rap_serve.services.embedding import EmbeddingModel, EmbeddingModels

LEAST_SHARE = 0.02


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

    async def __call__(self, owner: Owner, drafts: Sequence[AvatarDraft], category: str) -> tuple[Avatar, ...]:
        """The avatars, their pictures durable; pictures are stored only once all are embedded."""
        embedded = await asyncio.gather(*(self._embedded(d, category) for d in drafts))
        return tuple(await asyncio.gather(*(self._stored(owner, d, *e) for d, e in zip(drafts, embedded, strict=True))))

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

    async def _embedded(self, draft: AvatarDraft, category: str) -> tuple[BoxXyxy | None, dict[str, Vector]]:
        box = draft.box_on_pixels or await self._located(draft.picture, category)
        pixels = await self._stored_pixels(draft.picture)
        boxes = [box or whole_picture(pixels).box_xyxy]
        made = await asyncio.gather(*(model.embedder.embed(pixels, boxes) for model in self._models.all))
        embeddings = {m.space.version: rows[0] for m, rows in zip(self._models.all, made, strict=True)}
        return box and scaled(box, 1 / draft.picture.scale), embeddings

    async def _stored_pixels(self, picture: Picture) -> Pixels:
        """Those that will be read from the store: who embeds them again makes the same of them."""
        return (picture if picture.verbatim else await self._pictures.load(picture.data)).pixels

    async def _stored(
        self, owner: Owner, draft: AvatarDraft, box: BoxXyxy | None, embeddings: dict[str, Vector]
    ) -> Avatar:
        avatar_id = new_ulid()
        own_digest = hashlib.sha256(f"{avatar_id}:{draft.picture.digest}".encode()).hexdigest()
        key = await self._blobs.put(owner, own_digest, draft.picture.data, draft.picture.media_type)
        return Avatar(
            id=avatar_id,
            image_key=key,
            size_bytes=len(draft.picture.data),
            picture_size=draft.picture.original_size,
            box_xyxy=box,
            embeddings=embeddings,
            shows=draft.shows,
        )

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
