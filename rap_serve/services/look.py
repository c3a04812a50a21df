"""What the models see in a picture: regions and their embeddings, once per picture and vocabulary."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import Unavailable
from rap_serve.domain.ports import Cache, Detector, Features, Picture
from rap_serve.domain.region import BoxXyxy, Region, whole_picture
from rap_serve.services.embedding import EmbeddingModel
from rap_serve.services.timings import Timings

CacheUse: TypeAlias = Literal["hit", "miss", "bypass"]

GIVEN = "given"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Features of a picture, how they came about, and what was out of order meanwhile."""

    features: Features
    cache: CacheUse
    degraded: tuple[str, ...] = ()


class Look:
    """Detects, crops and embeds. A detector that is away costs the boxes, not the answer."""

    def __init__(self, *, detector: Detector, detector_version: str, cache: Cache, fallback: tuple[str, ...]) -> None:
        """``detector_version``: names all that regions depend on; ``fallback``: words that mean anything."""
        self._detector = detector
        self._detector_version = detector_version
        self._cache = cache
        self._fallback = fallback

    async def regions(
        self, owner: Owner, picture: Picture, categories: Sequence[str], model: EmbeddingModel, timings: Timings
    ) -> Seen:
        """The regions that may show one of ``categories``, and the whole picture last."""
        vocabulary = tuple(dict.fromkeys([*categories, *self._fallback]))
        return await self._remembered(owner, picture, ["detect", *vocabulary], vocabulary, None, model, timings)

    async def boxes(
        self, owner: Owner, picture: Picture, boxes: Sequence[BoxXyxy], model: EmbeddingModel, timings: Timings
    ) -> Seen:
        """The given boxes, in their order, in pixels of ``picture.pixels``."""
        regions = tuple(Region(box, GIVEN, 1.0) for box in boxes)
        return await self._remembered(owner, picture, ["given", *map(str, boxes)], (), regions, model, timings)

    async def _remembered(
        self,
        owner: Owner,
        picture: Picture,
        request: list[str],
        vocabulary: tuple[str, ...],
        given: tuple[Region, ...] | None,
        model: EmbeddingModel,
        timings: Timings,
    ) -> Seen:
        seen_by = f"{self._detector_version}+{model.space.version}"
        key = hashlib.sha256(json.dumps([seen_by, picture.digest, request]).encode()).hexdigest()
        with timings("cache"):
            known = await self._cache.features(owner, key)
        if known is not None:
            return Seen(known, "hit")
        regions, degraded = (given, ()) if given is not None else await self._detect(picture, vocabulary, timings)
        with timings("embed"):
            embeddings = await model.embedder.embed(picture.pixels, [r.box_xyxy for r in regions])
        features = Features(regions, embeddings)
        if not degraded:
            await self._cache.store_features(owner, key, features)
        return Seen(features, "miss", degraded)

    async def _detect(
        self, picture: Picture, vocabulary: tuple[str, ...], timings: Timings
    ) -> tuple[tuple[Region, ...], tuple[str, ...]]:
        whole = whole_picture(picture.pixels)
        try:
            with timings("detect"):
                return (*await self._detector.detect(picture.pixels, vocabulary), whole), ()
        except Unavailable:
            return (whole,), ("detector",)
