"""The final prompts behind answers that the service gave, built anew from the evidence it names."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from loadtest.bench.asked import MAX_TOKENS, Asked, Shown
from rap_serve.adapters import vllm
from rap_serve.adapters.pictures import PictureLoader
from rap_serve.domain.chat import Sampling
from rap_serve.domain.concept import fold_name
from rap_serve.domain.ports import Picture
from rap_serve.domain.prompt import LAYOUTS, ConceptBlock, ImagePart, TextPart, handle
from rap_serve.domain.region import shares_of
from rap_serve.domain.sent import SentPart, SentPicture, SentTurn, picture_key
from rap_serve.settings import Settings

SALT = "bench"


class Prompts:
    """Rebuilds what the engine was given: the same pictures, crops, layout, sampling and names allowed."""

    def __init__(self, settings: Settings, remembered: Mapping[str, Shown]) -> None:
        """``remembered``: what the owner has shown the service, by concept id."""
        self._mllm = settings.mllm
        self._remembered = remembered
        self._pictures = PictureLoader(settings.limits)
        self._avatars: dict[str, ImagePart] = {}

    async def of(self, asked: Asked, evidence: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The fields of the engine's request."""
        picture = await self._pictures.load(asked.jpeg)
        ordered = sorted(evidence, key=lambda e: fold_name(self._remembered[e["concept_id"]].name))
        blocks = [await self._block(e, picture) for e in ordered]
        shown = ImagePart(picture.data, picture.media_type)
        parts = LAYOUTS[self._mllm.prompt_layout](shown, blocks, asked.question)
        pictures = {picture_key(SALT, p.data): p for p in parts if isinstance(p, ImagePart)}
        sent: list[SentPart] = [
            p if isinstance(p, TextPart) else SentPicture(picture_key(SALT, p.data), p) for p in parts
        ]
        handles = tuple(handle(b.name) for b in blocks) if self._mllm.constrain_names else None
        sampling = Sampling(max_tokens=MAX_TOKENS, handles=handles)
        turn = SentTurn("user", tuple(sent))
        fields = vllm.chat_request([turn], pictures, sampling, model=self._mllm.model_id, cache_salt=SALT)
        return {**fields, "messages": [_as_json(message) for message in fields["messages"]]}

    async def _block(self, evidence: Mapping[str, Any], picture: Picture) -> ConceptBlock:
        concept = self._remembered[evidence["concept_id"]]
        box = evidence["box_xyxy"]
        place = None if box is None else shares_of(tuple(box), *picture.original_size)
        return ConceptBlock(concept.name, concept.info, await self._avatar(evidence["concept_id"], concept), place)

    async def _avatar(self, concept_id: str, concept: Shown) -> ImagePart:
        """The crop that the service shows the model."""
        if concept_id not in self._avatars:
            whole = await self._pictures.load(concept.jpeg)
            x0, y0, x1, y1 = whole.checked_box(concept.box_xyxy)
            crop = await self._pictures.cropped(whole, (x0, y0, x1, y1))
            self._avatars[concept_id] = ImagePart(crop.data, crop.media_type)
        return self._avatars[concept_id]


def _as_json(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose pictures are data URLs, which can be written down."""
    return {**message, "content": [_part_as_json(part) for part in message["content"]]}


def _part_as_json(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return dict(part)
    image: ImagePart = part["image_pil"]
    url = f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}, "uuid": part["uuid"]}
