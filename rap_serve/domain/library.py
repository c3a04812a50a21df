"""One owner's concepts as a whole, ready to be searched exactly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.concept import Concept, EmbeddingSpace
from rap_serve.domain.errors import ConceptNotFound
from rap_serve.domain.match import Matrix


@dataclass(frozen=True, slots=True, eq=False)
class Library:
    """A snapshot of an owner's concepts, to be searched in one embedding space.

    ``matrix``: float32, (rows, dim), the embeddings of all avatars, concept by concept; ``starts``: int64,
    (concepts,), the first row of each concept. A concept that only another embedder has seen has no rows: it is listed
    and can be spoken of, and no picture shows it. ``shows``: bool, (rows,), false for corrections.
    """

    space: EmbeddingSpace
    concepts: tuple[Concept, ...]
    matrix: Matrix
    starts: NDArray[np.int64]
    shows: NDArray[np.bool_]

    @classmethod
    def of(cls, concepts: Sequence[Concept], space: EmbeddingSpace) -> "Library":
        """The library of ``concepts``, ordered by id, so oldest first."""
        ordered = tuple(sorted(concepts, key=lambda c: c.id))
        vectors = [v for c in ordered for v in c.embeddings(space.version)]
        return cls.over(ordered, np.stack(vectors) if vectors else np.zeros((0, space.dim), np.float32), space)

    @classmethod
    def over(cls, concepts: tuple[Concept, ...], matrix: Matrix, space: EmbeddingSpace) -> "Library":
        """The library of ``concepts`` in their order, whose embeddings are the rows of ``matrix``."""
        seen = [c if c.embeddings(space.version) else None for c in concepts]
        counts = np.array([0, *(len(c.avatars) if c else 0 for c in seen)], dtype=np.int64)
        shows = np.array([a.shows for c in seen if c for a in c.avatars], dtype=np.bool_)
        return cls(space, concepts, matrix, np.cumsum(counts)[:-1], shows)

    @property
    def categories(self) -> tuple[str, ...]:
        """The distinct categories, sorted."""
        return tuple(sorted({c.category for c in self.concepts if c.category}))

    def similarities(self, queries: Matrix) -> tuple[Matrix, NDArray[np.int64]]:
        """Cosine of each query's best avatar per concept, and that avatar's place within its concept.

        ``queries``: float32, (n, dim), norm 1. Returns float32 and int64, both (n, concepts). Minus infinity where a
        query resembles the concept not at all: one without rows, or one that a correction of it resembles more.
        """
        if not self.concepts:
            return np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)
        scores = queries @ self.matrix.T
        if np.array_equal(self.starts, np.arange(len(self.matrix))):
            return scores, np.zeros(scores.shape, np.int64)
        sizes = np.diff(self.starts, append=len(self.matrix))
        seen, concept_of_row = np.flatnonzero(sizes), np.repeat(np.arange(len(sizes)), sizes)
        place_of_row = np.arange(len(self.matrix)) - self.starts[concept_of_row]
        best = np.full((len(queries), len(sizes)), -np.inf, np.float32)
        places = np.zeros(best.shape, np.int64)
        showing = np.where(self.shows, scores, np.float32(-np.inf))
        best[:, seen] = np.maximum.reduceat(showing, self.starts[seen], axis=1)
        best_places = np.where(showing == best[:, concept_of_row], place_of_row, len(self.matrix))
        places[:, seen] = np.minimum.reduceat(best_places, self.starts[seen], axis=1)
        self._correct(scores, best)
        return best, places

    def _correct(self, scores: Matrix, best: Matrix) -> None:
        """Takes from ``best`` what is more like something that was mistaken for the concept than like the concept."""
        for row in np.flatnonzero(~self.shows):
            concept = int(np.searchsorted(self.starts, row, side="right")) - 1
            best[scores[:, row] > best[:, concept], concept] = -np.inf

    def places(self, concept_ids: Sequence[str]) -> tuple[int, ...]:
        """Where these concepts stand in ``concepts``, each once; raises ConceptNotFound."""
        known = {concept.id: place for place, concept in enumerate(self.concepts)}
        for concept_id in concept_ids:
            if concept_id not in known:
                raise _not_found(concept_id)
        return tuple(known[concept_id] for concept_id in dict.fromkeys(concept_ids))

    def get(self, concept_id: str) -> Concept:
        """The concept of that id; raises ConceptNotFound."""
        for concept in self.concepts:
            if concept.id == concept_id:
                return concept
        raise _not_found(concept_id)


def _not_found(concept_id: str) -> ConceptNotFound:
    return ConceptNotFound(f"There is no concept {concept_id!r} here.")
