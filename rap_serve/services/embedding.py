"""The embedders that run side by side, and which of them answers."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from rap_serve.domain.catalogue import Spaces
from rap_serve.domain.concept import EmbeddingSpace
from rap_serve.domain.errors import InvalidInput, Unavailable
from rap_serve.domain.match import Calibration
from rap_serve.domain.ports import Embedder

REFRESH_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """An embedder, the space of its embeddings, and what similarities mean there."""

    space: EmbeddingSpace
    embedder: Embedder
    calibration: Calibration


class EmbeddingModels:
    """All of them embed what is shown, so that each can answer; one of them does.

    Which one is the same on all gateways within seconds. Meanwhile either is right: an answer is of one space
    throughout, that of the library it starts from.
    """

    def __init__(self, models: Sequence[EmbeddingModel], spaces: Spaces) -> None:
        """``models``: the first answers as long as the catalogue names none of them."""
        self.all = tuple(models)
        self._spaces = spaces
        self._chosen = ""
        self.current = self.all[0]

    def of(self, space: EmbeddingSpace) -> EmbeddingModel:
        """The one whose embeddings are of ``space``."""
        return next(model for model in self.all if model.space == space)

    def named(self, version: str) -> EmbeddingModel:
        """The one of that version; raises InvalidInput."""
        for model in self.all:
            if model.space.version == version:
                return model
        known = ", ".join(repr(model.space.version) for model in self.all)
        raise InvalidInput(f"No embedder {version!r} runs here; running: {known}.")

    async def refresh(self) -> None:
        """Asks the catalogue which one answers. Raises Unavailable."""
        version = await self._spaces.current()
        if version != self._chosen and version and all(m.space.version != version for m in self.all):
            _log.warning("the embedder %s was chosen to answer and does not run: `rap admin re-embed` helps", version)
        self._chosen = version
        self.current = next((m for m in self.all if m.space.version == version), self.all[0])

    async def watch(self) -> None:
        """Keeps asking; for ever."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            with contextlib.suppress(Unavailable):
                await self.refresh()
