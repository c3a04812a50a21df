"""Which of an owner's concepts a picture shows and a text names."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.concept import Owner
from rap_serve.domain.library import Library
from rap_serve.domain.match import (
    Acceptance,
    AuthorisationPolicy,
    Calibration,
    Candidate,
    Evidence,
    Matrix,
    RegionCandidates,
    authorise,
    authorise_named,
)
from rap_serve.domain.mention import mentioned
from rap_serve.domain.ports import Cache, Picture
from rap_serve.domain.region import BoxXyxy, Region, scaled
from rap_serve.domain.share import shared_by
from rap_serve.services.embedding import EmbeddingModels
from rap_serve.services.look import CacheUse, Look, Seen
from rap_serve.services.timings import Timings


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """What was found. ``regions``: with all candidates; ``evidence``: what may enter a prompt.

    Boxes are in pixels of the picture as it was sent. ``library``: the snapshot that was searched.
    """

    library: Library
    regions: tuple[RegionCandidates, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    cache: CacheUse = "bypass"
    degraded: tuple[str, ...] = ()
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """What to retrieve for. ``boxes_xyxy``: regions to use instead of the detector's, in pixels as sent.

    ``about_picture``: whether the text speaks of this picture; then a name in it needs the support of a region.
    ``concepts``: the ids of the only concepts to name, all of the owner's where None. Listing some takes from what is
    found without and adds nothing: the others stay the rivals of those listed. ``timings``: those of the request, to
    which the retrieval adds its own.
    """

    picture: Picture | None = None
    text: str = ""
    about_picture: bool = True
    boxes_xyxy: tuple[BoxXyxy, ...] | None = None
    candidates: int = 5
    max_evidence: int | None = None
    concepts: tuple[str, ...] | None = None
    timings: Timings = field(default_factory=Timings)


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """The regions of a picture against a library. The arrays are all (regions, concepts).

    ``owner``: for whom. ``considered``: the concepts that may be named, as columns.
    """

    owner: Owner
    library: Library
    considered: Sequence[int]
    regions: tuple[Region, ...]
    similarities: Matrix
    confidences: Matrix
    avatars: NDArray[np.int64]

    def candidates(self, region: int, count: int) -> RegionCandidates:
        """A region and those of the concepts considered that it resembles most."""
        columns = np.asarray(self.considered, np.int64)
        columns = columns[np.isfinite(self.similarities[region, columns])]
        best = columns[(-self.similarities[region, columns]).argsort(kind="stable")[:count]]
        return RegionCandidates(self.regions[region], tuple(self._candidate(region, int(i)) for i in best))

    def evidence(self, match: Acceptance, source: Literal["region", "mention"]) -> Evidence:
        """A pair that was accepted, with where it is."""
        concept = self.library.concepts[match.concept]
        return Evidence(
            concept_id=concept.id,
            name=concept.name,
            version=concept.version,
            avatar_id=concept.avatars[self.avatars[match.region, match.concept]].id,
            source=source,
            box_xyxy=self.regions[match.region].box_xyxy,
            similarity=match.similarity,
            confidence=match.confidence,
            shared_by=shared_by(concept, self.owner),
        )

    def _candidate(self, region: int, index: int) -> Candidate:
        concept = self.library.concepts[index]
        return Candidate(
            concept_id=concept.id,
            name=concept.name,
            avatar_id=concept.avatars[self.avatars[region, index]].id,
            similarity=float(self.similarities[region, index]),
            confidence=float(self.confidences[region, index]),
            shared_by=shared_by(concept, self.owner),
        )


class Retrieve:
    """Mentions from the text, regions from the picture, exact search, authorisation."""

    def __init__(
        self,
        *,
        recall: Callable[[Owner], Awaitable[Library]],
        look: Look,
        cache: Cache,
        models: EmbeddingModels,
        policy: AuthorisationPolicy,
        observe: Callable[[Retrieval], None],
    ) -> None:
        """``observe`` is told of every retrieval."""
        self._recall = recall
        self._look = look
        self._cache = cache
        self._models = models
        self._policy = policy
        self._observe = observe

    async def __call__(self, owner: Owner, query: Query) -> Retrieval:
        """Raises ConceptNotFound, or Overloaded or Unavailable where a model or the memory cannot serve it."""
        timings = query.timings
        with timings("total"):
            with timings("memory"):
                library = await self._recall(owner)
            considered = range(len(library.concepts)) if query.concepts is None else library.places(query.concepts)
            seen = await self._seen(owner, query, library, timings)
            with timings("match"):
                found = self._matched(owner, library, considered, seen, query)
        outage = () if await self._cache.available() else ("cache",)
        degraded = (*(seen.degraded if seen else ()), *outage)
        cache = "bypass" if seen is None or outage else seen.cache
        retrieval = replace(found, cache=cache, degraded=degraded, timings=timings)
        self._observe(retrieval)
        return retrieval

    async def _seen(self, owner: Owner, query: Query, library: Library, timings: Timings) -> Seen | None:
        if query.picture is None or not library.concepts:
            return None
        model = self._models.of(library.space)
        if query.boxes_xyxy is not None:
            scale = query.picture.scale
            boxes = [scaled(b, scale) for b in query.boxes_xyxy]
            return await self._look.boxes(owner, query.picture, boxes, model, timings)
        return await self._look.regions(owner, query.picture, library.categories, model, timings)

    def _matched(
        self, owner: Owner, library: Library, considered: Sequence[int], seen: Seen | None, query: Query
    ) -> Retrieval:
        policy = replace(self._policy, max_evidence=query.max_evidence or self._policy.max_evidence)
        if seen is None or query.picture is None:
            evidence = self._unseen(owner, library, considered, query, policy)
            return Retrieval(library, evidence=tuple(evidence[: policy.max_evidence]))
        compared = self._compared(owner, library, considered, seen, scale=1 / query.picture.scale)
        return Retrieval(
            library,
            regions=tuple(compared.candidates(r, query.candidates) for r in range(len(compared.regions))),
            evidence=tuple(self._seen_evidence(compared, query, policy)[: policy.max_evidence]),
        )

    def _calibration(self, library: Library) -> Calibration:
        return self._models.of(library.space).calibration

    def _compared(
        self, owner: Owner, library: Library, considered: Sequence[int], seen: Seen, *, scale: float
    ) -> _Compared:
        """``scale``: pixels as sent per pixel of the picture that was seen."""
        similarities, avatars = library.similarities(seen.features.embeddings)
        regions = tuple(replace(r, box_xyxy=scaled(r.box_xyxy, scale)) for r in seen.features.regions)
        confidences = self._calibration(library).confidences(similarities)
        return _Compared(owner, library, considered, regions, similarities, confidences, avatars)

    def _seen_evidence(self, compared: _Compared, query: Query, policy: AuthorisationPolicy) -> list[Evidence]:
        """What the picture supports; those asked for by name come first, since the answer is about them."""
        owner, library, considered = compared.owner, compared.library, compared.considered
        if query.concepts is not None and not policy.required:
            return self._unseen(owner, library, considered, query, policy)
        seen = compared.regions, compared.similarities, compared.confidences
        calibration = self._calibration(library)
        accepted = authorise(*seen, calibration=calibration, policy=policy, considered=considered)
        shown = [compared.evidence(a, "region") for a in accepted]
        taken = {a.concept for a in accepted}
        rest = [i for i in _named(library, considered, query.text) if i not in taken]
        if not query.about_picture or not policy.required:
            return [*_taken_as_given(owner, library, rest, "mention"), *shown]
        supported = authorise_named(*seen, rest, taken=accepted, calibration=calibration)
        return [*(compared.evidence(a, "mention") for a in supported), *shown]

    def _unseen(
        self, owner: Owner, library: Library, considered: Sequence[int], query: Query, policy: AuthorisationPolicy
    ) -> list[Evidence]:
        """What needs no picture: the concepts that the text names, or those of the request, taken at its word."""
        if query.concepts is not None and not policy.required:
            return _taken_as_given(owner, library, considered, "request")
        return _taken_as_given(owner, library, _named(library, considered, query.text), "mention")


def _named(library: Library, considered: Sequence[int], text: str) -> list[int]:
    return [i for i in mentioned(text, library.concepts) if i in considered]


def _taken_as_given(
    owner: Owner, library: Library, indices: Sequence[int], source: Literal["mention", "request"]
) -> list[Evidence]:
    return [
        Evidence(
            concept_id=concept.id,
            name=concept.name,
            version=concept.version,
            avatar_id=concept.shown[0].id,
            source=source,
            shared_by=shared_by(concept, owner),
        )
        for concept in (library.concepts[i] for i in indices)
    ]
