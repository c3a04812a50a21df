"""Which of an owner's concepts a picture shows and a text names."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

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
from rap_serve.services.look import CacheUse, Look, Seen
from rap_serve.services.recall import Recall
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
    """

    picture: Picture | None = None
    text: str = ""
    about_picture: bool = True
    boxes_xyxy: tuple[BoxXyxy, ...] | None = None
    candidates: int = 5
    max_evidence: int | None = None


class Retrieve:
    """Mentions from the text, regions from the picture, exact search, authorisation."""

    def __init__(
        self,
        *,
        recall: Recall,
        look: Look,
        cache: Cache,
        calibration: Calibration,
        policy: AuthorisationPolicy,
        observe: Callable[[Retrieval], None],
    ) -> None:
        """``observe`` is told of every retrieval."""
        self._recall = recall
        self._look = look
        self._cache = cache
        self._calibration = calibration
        self._policy = policy
        self._observe = observe

    async def __call__(self, owner: Owner, query: Query) -> Retrieval:
        """Raises Overloaded or Unavailable where a model or the memory cannot serve it."""
        timings = Timings()
        with timings("total"):
            with timings("memory"):
                library = await self._recall(owner)
            seen = await self._seen(owner, query, library, timings)
            with timings("match"):
                found = self._matched(library, seen, query)
        outage = () if await self._cache.available() else ("cache",)
        degraded = (*(seen.degraded if seen else ()), *outage)
        cache = "bypass" if seen is None or outage else seen.cache
        retrieval = replace(found, cache=cache, degraded=degraded, timings=timings)
        self._observe(retrieval)
        return retrieval

    async def _seen(self, owner: Owner, query: Query, library: Library, timings: Timings) -> Seen | None:
        if query.picture is None or not library.concepts:
            return None
        if query.boxes_xyxy is not None:
            scale = query.picture.scale
            return await self._look.boxes(owner, query.picture, [scaled(b, scale) for b in query.boxes_xyxy], timings)
        return await self._look.regions(owner, query.picture, library.categories, timings)

    def _matched(self, library: Library, seen: Seen | None, query: Query) -> Retrieval:
        named = mentioned(query.text, library.concepts)
        if seen is None or query.picture is None:
            return Retrieval(library, evidence=self._by_name(library, named, query))
        similarities, places = library.similarities(seen.features.embeddings)
        to_sent = 1 / query.picture.scale
        regions = tuple(replace(r, box_xyxy=scaled(r.box_xyxy, to_sent)) for r in seen.features.regions)
        policy = replace(self._policy, max_evidence=query.max_evidence or self._policy.max_evidence)
        accepted = authorise(regions, similarities, calibration=self._calibration, policy=policy)
        evidence = [self._shown(library, regions, a, int(places[a.region, a.concept])) for a in accepted]
        rest = [i for i in named if i not in {a.concept for a in accepted}]
        if query.about_picture:
            supported = authorise_named(
                regions, similarities, rest, taken=accepted, calibration=self._calibration, policy=policy
            )
            found = [self._shown(library, regions, a, int(places[a.region, a.concept])) for a in supported]
            evidence += [replace(e, source="mention") for e in found]
        else:
            evidence += self._by_name(library, rest, query)
        return Retrieval(
            library,
            regions=tuple(
                RegionCandidates(region, self._candidates(library, row, place, query.candidates))
                for region, row, place in zip(regions, similarities, places, strict=True)
            ),
            evidence=tuple(evidence[: policy.max_evidence]),
        )

    def _candidates(self, library: Library, row: Matrix, places: Sequence[int], count: int) -> tuple[Candidate, ...]:
        return tuple(
            Candidate(
                concept_id=library.concepts[i].id,
                name=library.concepts[i].name,
                avatar_id=library.concepts[i].avatars[places[i]].id,
                similarity=float(row[i]),
                confidence=self._calibration.confidence(float(row[i])),
            )
            for i in (-row).argsort(kind="stable")[:count]
        )

    def _shown(self, library: Library, regions: tuple[Region, ...], match: Acceptance, place: int) -> Evidence:
        concept = library.concepts[match.concept]
        return Evidence(
            concept_id=concept.id,
            name=concept.name,
            version=concept.version,
            avatar_id=concept.avatars[place].id,
            source="region",
            box_xyxy=regions[match.region].box_xyxy,
            similarity=match.similarity,
            confidence=self._calibration.confidence(match.similarity),
        )

    def _by_name(self, library: Library, indices: Sequence[int], query: Query) -> tuple[Evidence, ...]:
        limit = query.max_evidence or self._policy.max_evidence
        concepts = [library.concepts[i] for i in indices[:limit]]
        return tuple(
            Evidence(concept_id=c.id, name=c.name, version=c.version, avatar_id=c.avatars[0].id, source="mention")
            for c in concepts
        )
