"""A sentence about a picture, where its owner gave none."""

from rap_serve.domain.chat import Sampling
from rap_serve.domain.concept import Avatar, Owner, new_ulid
from rap_serve.domain.errors import Overloaded, Unavailable
from rap_serve.domain.ports import Mllm, Picture, Pictures
from rap_serve.domain.prompt import ImagePart, TextPart, Turn

QUESTION = "Describe what you see in one sentence."
MAX_TOKENS = 48


class Describe:
    """Asks the MLLM about the avatar's crop. Without an answer the concept simply has no info."""

    def __init__(self, *, mllm: Mllm, pictures: Pictures, model: str) -> None:
        self._mllm = mllm
        self._pictures = pictures
        self._model = model

    async def __call__(self, owner: Owner, picture: Picture, avatar: Avatar) -> str:
        """One plain sentence, or an empty string while the MLLM cannot be had."""
        shown = await cropped_avatar(self._pictures, picture, avatar)
        turn = Turn("user", (ImagePart(shown.data, shown.media_type), TextPart("\n" + QUESTION)))
        pieces: list[str] = []
        try:
            async for delta in self._mllm.stream(
                [turn],
                Sampling(max_tokens=MAX_TOKENS, whole=True),
                model=self._model,
                owner=owner,
                request_id=new_ulid(),
            ):
                pieces.append(delta.text)
        except (Unavailable, Overloaded):
            return ""
        return "".join(pieces).strip()


async def cropped_avatar(pictures: Pictures, picture: Picture, avatar: Avatar) -> Picture:
    """What of the avatar's picture shows the concept."""
    box = avatar.box_in(picture.pixels)
    return picture if box is None else await pictures.cropped(picture, box)
