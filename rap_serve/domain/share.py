"""What users of one tenant let each other know, and the library that comes of it."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from rap_serve.domain.concept import Concept, Owner, checked_name, fold_name
from rap_serve.domain.errors import InvalidInput, InvalidName
from rap_serve.domain.library import Library

ShareState: TypeAlias = Literal["offered", "accepted"]

MAX_SHARES = 64
"""That one user gives, and that one takes; offers count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Concepts that ``giver`` lets ``taker`` know, once the taker has accepted.

    ``concepts``: their ids; None for all of the giver's, future ones too. Times are milliseconds since 1970.

    Raises InvalidInput for a share with oneself, or with another tenant's user.
    """

    id: str
    giver: Owner
    taker: Owner
    concepts: frozenset[str] | None
    created_at: int
    accepted_at: int | None = None

    def __post_init__(self) -> None:
        if self.giver == self.taker or self.giver.tenant != self.taker.tenant:
            raise InvalidInput("Concepts are shared with another user of the same tenant.")

    @property
    def state(self) -> ShareState:
        return "offered" if self.accepted_at is None else "accepted"

    def of(self, library: Library) -> tuple[Concept, ...]:
        """Those of the giver's concepts that it covers."""
        return tuple(c for c in library.concepts if self.covers(c))

    def covers(self, concept: Concept) -> bool:
        """Whether it is about this concept of the giver's."""
        return self.concepts is None or concept.id in self.concepts


def shared_by(concept: Concept, owner: Owner) -> str | None:
    """The user who shares the concept with ``owner``; None for one of the owner's own."""
    return None if concept.owner == owner else concept.owner.user


def joined(own: Library, shares: Sequence[Share], libraries: Mapping[Owner, Library]) -> Library:
    """``own`` and behind it what ``shares`` cover of their givers' ``libraries``, in that order, each concept once.

    All of them are of one space.

    Where the name of a concept is taken by one before it, the concept is called ``<name>-<giver>``; where that is
    taken too, or no name, it is left out.
    """
    concepts, rows = list(own.concepts), [own.matrix]
    names, seen = {c.folded_name for c in concepts}, set[str]()
    for share in shares:
        library = libraries[share.giver]
        bounds = [*library.starts, len(library.matrix)]
        for place, concept in enumerate(library.concepts):
            if concept.id in seen or not share.covers(concept):
                continue
            seen.add(concept.id)
            if (known := _named(concept, names)) is not None:
                names.add(known.folded_name)
                concepts.append(known)
                rows.append(library.matrix[bounds[place] : bounds[place + 1]])
    return Library.over(tuple(concepts), np.concatenate(rows), own.space)


def _named(concept: Concept, taken: Container[str]) -> Concept | None:
    """The concept under a name that is free, which its info then speaks of too; None where there is none."""
    if concept.folded_name not in taken:
        return concept
    try:
        name = checked_name(f"{concept.name}-{concept.owner.user}")
    except InvalidName:
        return None
    if fold_name(name) in taken:
        return None
    return replace(concept, name=name, info=concept.info.replace(f"<{concept.name}>", f"<{name}>"))
