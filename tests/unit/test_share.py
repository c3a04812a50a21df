"""What a share covers, and the library that shares make."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.library import Library
from rap_serve.domain.share import Share, joined, shared_by
from rap_serve.services.household import Recent

ANN, BEN, CID = (Owner("acme", user) for user in ("ann", "ben", "cid"))
NUMBERS = count(1)
SPACE = EmbeddingSpace("v", 2)


def concept(owner: Owner, name: str, *vectors: list[float]) -> Concept:
    """Something of ``owner``'s, with an avatar for each vector."""
    avatars = tuple(
        Avatar(
            id=new_ulid(),
            image_key="k",
            size_bytes=1,
            picture_size=(1, 1),
            box_xyxy=None,
            embeddings={SPACE.version: np.array(v, np.float32)},
        )
        for v in vectors
    )
    return Concept(
        id=f"{next(NUMBERS):04}",
        owner=owner,
        name=name,
        category="dog",
        info=f"<{name}> is brown.",
        version=1,
        created_at=0,
        updated_at=0,
        avatars=avatars,
    )


def share(giver: Owner, *concepts: Concept, taker: Owner = BEN) -> Share:
    """One that was accepted; of all concepts where none is named."""
    ids = frozenset(c.id for c in concepts) or None
    return Share(id=new_ulid(), giver=giver, taker=taker, concepts=ids, created_at=1, accepted_at=2)


def library(*concepts: Concept) -> Library:
    """The library of these."""
    return Library.of(concepts, SPACE)


def names(found: Library) -> list[str]:
    """What the concepts are called, in order."""
    return [c.name for c in found.concepts]


def test_concepts_are_shared_with_another_user_of_the_tenant() -> None:
    """Neither with oneself nor across tenants."""
    for taker in (ANN, Owner("other", "ben")):
        with pytest.raises(InvalidInput):
            share(ANN, taker=taker)


def test_ones_own_concepts_come_first_and_each_keeps_its_rows() -> None:
    """The best avatar of each is found whoever has it, of several avatars and of none that can be compared."""
    own = library(concept(BEN, "cup", [1, 0]))
    bo, old, rex = concept(ANN, "bo", [1, 0], [0, 1]), concept(ANN, "old", [1, 0]), concept(ANN, "rex", [0.6, 0.8])
    old = replace(old, avatars=(replace(old.avatars[0], embeddings={}),))
    theirs = library(bo, old, rex)
    found = joined(own, [share(ANN)], {ANN: theirs})
    assert names(found) == ["cup", "bo", "old", "rex"]
    assert [shared_by(c, BEN) for c in found.concepts] == [None, "ann", "ann", "ann"]
    best, avatars = found.similarities(np.array([[0, 1]], np.float32))
    np.testing.assert_allclose(best[0], [0, 1, -np.inf, 0.8], rtol=1e-6)
    assert avatars[0].tolist() == [0, 1, 0, 0]


def test_a_share_of_some_concepts_covers_no_others() -> None:
    """Several shares of one giver add up, and show nothing twice."""
    bo, rex, tom = (concept(ANN, name, [1, 0]) for name in ("bo", "rex", "tom"))
    theirs = {ANN: library(bo, rex, tom)}
    assert names(joined(library(), [share(ANN, rex)], theirs)) == ["rex"]
    assert names(joined(library(), [share(ANN, rex), share(ANN, rex, bo)], theirs)) == ["rex", "bo"]
    assert names(joined(library(), [share(ANN, rex), share(ANN)], theirs)) == ["rex", "bo", "tom"]
    assert share(ANN, rex).of(theirs[ANN]) == (rex,)


def test_a_name_that_is_taken_goes_with_its_givers() -> None:
    """One's own keeps its name, and so does what was shared earlier; case does not matter. The info follows."""
    own = library(concept(BEN, "Bo", [1, 0]))
    theirs = {ANN: library(concept(ANN, "bo", [1, 0]), concept(ANN, "rex", [1, 0])), CID: library(concept(CID, "rex"))}
    found = joined(own, [share(ANN), share(CID)], theirs)
    assert names(found) == ["Bo", "bo-ann", "rex", "rex-cid"]
    assert [c.info for c in found.concepts[1:3]] == ["<bo-ann> is brown.", "<rex> is brown."]


def test_what_has_no_free_name_is_left_out() -> None:
    """Taken twice, or too long."""
    long = "x" * 62
    own = library(*(concept(BEN, name) for name in ("bo", "bo-ann", long)))
    theirs = library(concept(ANN, "bo"), concept(ANN, long), concept(ANN, "rex"))
    assert names(joined(own, [share(ANN)], {ANN: theirs})) == ["bo", "bo-ann", long, "rex"]


def test_nothing_joined_with_nothing_is_nothing() -> None:
    """A giver may have no concepts, or none any more."""
    assert joined(library(), [share(ANN)], {ANN: library()}).concepts == ()


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    """Up to the limit everything stays."""
    recent: Recent[int] = Recent(2)
    a, b, c = (Owner("t", user) for user in "abc")
    recent.put(a, 1)
    recent.put(b, 2)
    assert recent.get(a) == 1
    recent.put(c, 3)
    assert [recent.get(owner) for owner in (a, b, c)] == [1, None, 3]
