"""Ports that count what passes through them; what they answer is what is behind them."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing

from rap_serve.domain.chat import Delta, Sampling, Usage
from rap_serve.domain.concept import Owner
from rap_serve.domain.errors import RapError
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Cache, Features, Generation, Mllm, Write
from rap_serve.domain.prompt import Turn
from rap_serve.observability.metrics import CacheMetrics, MllmMetrics


class WatchedCache:
    """The port ``Cache``; hits and misses are counted."""

    def __init__(self, cache: Cache, metrics: CacheMetrics) -> None:
        self._cache = cache
        self._metrics = metrics

    async def generation(self, owner: Owner) -> Generation | None:
        """See Cache; without a generation the library is read past the cache."""
        generation = await self._cache.generation(owner)
        if generation is None:
            self._metrics.library("bypass")
        return generation

    async def library(self, owner: Owner, generation: Generation) -> Library | None:
        """See Cache."""
        found = await self._cache.library(owner, generation)
        self._metrics.library("miss" if found is None else "hit")
        return found

    async def store_library(self, owner: Owner, generation: Generation, library: Library) -> None:
        """See Cache."""
        await self._cache.store_library(owner, generation, library)

    async def features(self, owner: Owner, key: str) -> Features | None:
        """See Cache."""
        found = await self._cache.features(owner, key)
        self._metrics.features("miss" if found is None else "hit")
        return found

    async def store_features(self, owner: Owner, key: str, features: Features) -> None:
        """See Cache."""
        await self._cache.store_features(owner, key, features)

    def writing(self, owner: Owner) -> AbstractAsyncContextManager[Write]:
        """See Cache."""
        return self._cache.writing(owner)

    async def purge(self, owner: Owner) -> int:
        """See Cache."""
        return await self._cache.purge(owner)

    async def available(self) -> bool:
        """See Cache; asked with every retrieval."""
        answers = await self._cache.available()
        self._metrics.available(answers)
        return answers


class WatchedMllm:
    """The port ``Mllm``; when pieces come, how answers end and what they took is counted."""

    def __init__(self, mllm: Mllm, metrics: MllmMetrics) -> None:
        self._mllm = mllm
        self._metrics = metrics

    def holds(self, owner: Owner, name: str) -> bool:
        """See Mllm."""
        return self._mllm.holds(owner, name)

    async def stream(
        self, turns: Sequence[Turn], sampling: Sampling, *, model: str, owner: Owner, request_id: str
    ) -> AsyncGenerator[Delta, None]:
        """See Mllm. An answer that nobody reads to its end counts as left."""
        asked = time.perf_counter()
        first = last = 0.0
        usage: Usage | None = None
        outcome = "left"
        try:
            pieces = self._mllm.stream(turns, sampling, model=model, owner=owner, request_id=request_id)
            async with aclosing(pieces):
                async for delta in pieces:
                    if delta.text:
                        last = time.perf_counter()
                    if not first and last:
                        first = last
                        self._metrics.first_token(first - asked)
                    usage, outcome = delta.usage or usage, delta.finish_reason or outcome
                    yield delta
        except RapError as error:
            outcome = "error"
            self._metrics.error(error.code)
            raise
        finally:
            self._metrics.answer(outcome, usage, later_seconds=last - first)
