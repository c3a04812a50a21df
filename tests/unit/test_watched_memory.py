"""The concept memory's calls, counted and traced by how they end."""

import pytest

from rap_serve.domain.concept import NOWHERE, EmbeddingSpace, Owner
from rap_serve.domain.errors import NameTaken, RapError, Unavailable
from rap_serve.domain.library import Library
from rap_serve.domain.ports import Moment
from rap_serve.observability.tracing import Tracing
from rap_serve.observability.watched_memory import WatchedMemory
from rap_serve.settings import TracingSettings
from tests.otlp_receiver import collector

OWNER = Owner("acme", "ann")


class Moody:
    """A memory that answers or fails as it is told; outages cannot be had to order."""

    def __init__(self) -> None:
        self.error: RapError | None = None

    async def library(
        self, owner: Owner, *, space: EmbeddingSpace | None = None, after: Moment | None = None
    ) -> Library:
        if self.error is not None:
            raise self.error
        return Library.of([], NOWHERE)


class Counted:
    """Metrics: what was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def call(self, call: str, outcome: str, *, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append((call, outcome))


async def test_an_outage_is_told_from_a_refusal() -> None:
    """Only one of them is the memory's fault; the caller gets what the memory said."""
    memory, metrics = Moody(), Counted()
    with collector() as collecting:
        tracing = Tracing.of(TracingSettings(endpoint=collecting.endpoint, sample_ratio=1), "rap-gateway")
        watched = WatchedMemory(memory, metrics, tracing)  # type: ignore[arg-type]
        await watched.library(OWNER)
        for error in (NameTaken("taken"), Unavailable("away")):
            memory.error = error
            with pytest.raises(type(error)):
                await watched.library(OWNER)
        tracing.close()
    assert metrics.calls == [("library", "ok"), ("library", "refused"), ("library", "unavailable")]
    assert [s.attributes.get("error.type") for s in collecting.spans] == [None, NameTaken.code, Unavailable.code]
    assert all(s.attributes["db.operation.name"] == "library" for s in collecting.spans)
