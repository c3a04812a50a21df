"""Pictures of concepts as prompts show them."""

import asyncio
from functools import partial

from rap_serve.domain.concept import Avatar, Owner
from rap_serve.domain.errors import NotFound, Unavailable
from rap_serve.domain.lru import ByteLru
from rap_serve.domain.ports import BlobStore, Pictures
from rap_serve.domain.prompt import ImagePart, ImageRef
from rap_serve.services.describe import cropped_avatar

IDLE_SECONDS = 600.0
SWEEP_SECONDS = 30.0


class Avatars:
    """By name, and cropped where their bytes are needed; those made lately are kept for a while."""

    def __init__(self, *, blobs: BlobStore, pictures: Pictures, max_bytes: int) -> None:
        self._blobs = blobs
        self._pictures = pictures
        self._kept: ByteLru[ImagePart] = ByteLru(max_bytes)

    def named(self, owner: Owner, avatar: Avatar) -> ImageRef:
        """The avatar by a name that no other picture, no other box and no later avatar ever has.

        Its ``load`` raises Unavailable where the concept was deleted meanwhile: asked again, the answer does without.
        """
        return ImageRef(_name(owner, avatar), partial(self._loaded, owner, avatar))

    async def shown(self, owner: Owner, avatar: Avatar) -> ImagePart:
        """What of the avatar's picture shows the concept. Raises NotFound."""
        name = _name(owner, avatar)
        kept = self._kept.get(name)
        if kept is None:
            kept = await self._made(owner, avatar)
            self._kept.put(name, kept, len(kept.data))
        return kept

    async def watch(self) -> None:
        """Keeps forgetting what nobody asks for; for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._kept.drop_idle(IDLE_SECONDS)

    async def _loaded(self, owner: Owner, avatar: Avatar) -> ImagePart:
        try:
            return await self.shown(owner, avatar)
        except NotFound as error:
            raise Unavailable("Something that the answer rests on was deleted meanwhile; try again.") from error

    async def _made(self, owner: Owner, avatar: Avatar) -> ImagePart:
        data, media_type = await self._blobs.get(owner, avatar.image_key)
        if avatar.box_xyxy is None:
            return ImagePart(data, media_type)
        shown = await cropped_avatar(self._pictures, await self._pictures.load(data), avatar)
        return ImagePart(shown.data, shown.media_type)


def _name(owner: Owner, avatar: Avatar) -> str:
    return f"avatar {owner.scope} {avatar.id} {avatar.image_key} {avatar.box_xyxy}"
