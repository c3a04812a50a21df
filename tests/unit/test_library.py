"""Searching one owner's concepts, and finding them by name."""

from dataclasses import replace

import numpy as np
import pytest

from rap_serve.domain.concept import Avatar, Concept, EmbeddingSpace, Owner, new_ulid
from rap_serve.domain.errors import ConceptNotFound
from rap_serve.domain.library import Library
from rap_serve.domain.mention import mentioned

OWNER = Owner("acme", "ann")


def concept(name: str, *vectors: list[float], category: str = "") -> Concept:
    """A concept with an avatar for each vector."""
    avatars = tuple(
        Avatar(
            id=new_ulid(),
            image_key="k",
            size_bytes=1,
            picture_size=(1, 1),
            box_xyxy=None,
            embeddings={"v": np.array(v, np.float32)},
        )
        for v in vectors
    )
    return Concept(
        id=new_ulid(),
        owner=OWNER,
        name=name,
        category=category,
        info="",
        version=1,
        created_at=0,
        updated_at=0,
        avatars=avatars,
    )


def test_each_concept_counts_with_its_best_avatar() -> None:
    """Several avatars of one concept give one column."""
    concepts = [concept("a", [1, 0], [0, 1]), concept("b", [0.6, 0.8])]
    library = Library.of(concepts, EmbeddingSpace("v", 2))
    best, place = library.similarities(np.array([[0, 1], [1, 0]], np.float32))
    by_name = [c.name for c in library.concepts]
    a, b = by_name.index("a"), by_name.index("b")
    np.testing.assert_allclose(best[:, a], [1, 1])
    np.testing.assert_allclose(best[:, b], [0.8, 0.6], rtol=1e-6)
    assert place[:, a].tolist() == [1, 0]


def test_a_concept_of_another_embedder_is_listed_and_resembles_nothing() -> None:
    """The others keep their columns; it can be found by id and by name."""
    old = concept("b", [1, 0])
    old = replace(old, avatars=(replace(old.avatars[0], embeddings={}),))
    library = Library.of([concept("a", [1, 0], [0, 1]), old, concept("c", [0, 1])], EmbeddingSpace("v", 2))
    best, place = library.similarities(np.array([[0, 1], [1, 0]], np.float32))
    by_name = {c.name: i for i, c in enumerate(library.concepts)}
    assert library.matrix.shape == (3, 2)
    assert np.isneginf(best[:, by_name["b"]]).all()
    np.testing.assert_allclose(best[:, by_name["a"]], [1, 1])
    np.testing.assert_allclose(best[:, by_name["c"]], [1, 0])
    assert place[:, by_name["a"]].tolist() == [1, 0]
    assert library.get(old.id) is old
    assert [library.concepts[i].name for i in mentioned("<b>", library.concepts)] == ["b"]


def test_an_empty_library_has_no_columns() -> None:
    """Searching nothing finds nothing."""
    best, _ = Library.of([], EmbeddingSpace("v", 3)).similarities(np.zeros((2, 3), np.float32))
    assert best.shape == (2, 0)


def test_categories_are_the_detectors_vocabulary() -> None:
    """Each once, sorted, without the empty one."""
    library = Library.of(
        [concept("a", [1], category="mug"), concept("b", [1], category="dog"), concept("c", [1])],
        EmbeddingSpace("v", 1),
    )
    assert library.categories == ("dog", "mug")


def test_an_unknown_id_is_not_found() -> None:
    """Another owner's id is unknown too."""
    with pytest.raises(ConceptNotFound):
        Library.of([], EmbeddingSpace("v", 1)).get("01")


def test_ids_have_a_place_each_in_the_order_asked() -> None:
    """Each once; an unknown one is not found."""
    library = Library.of([concept("a", [1, 0]), concept("b", [0.6, 0.8]), concept("c", [1, 0])], EmbeddingSpace("v", 2))
    first, _, last = library.concepts
    assert library.places([last.id, first.id, last.id]) == (2, 0)
    with pytest.raises(ConceptNotFound):
        library.places([first.id, "01"])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Is <bo> here?", ["bo"]),
        ("where is BO", ["bo"]),
        ("the robot and the bowl", []),
        ("hat-bear or bear?", ["hat-bear", "bear"]),
        ("<hat-bear>", ["hat-bear"]),
        ("bo, bear and bo", ["bo", "bear"]),
        ("Mr. Fluff sleeps", ["Mr. Fluff"]),
        ("", []),
    ],
)
def test_names_are_found_as_whole_words(text: str, names: list[str]) -> None:
    """In order of appearance, each once, the longest at a place."""
    concepts = [concept(n, [1]) for n in ("bo", "bear", "hat-bear", "Mr. Fluff")]
    assert [concepts[i].name for i in mentioned(text, concepts)] == names


def test_what_resembles_a_correction_more_is_not_the_concept() -> None:
    """And is still what else it may be."""
    bo, rex = concept("bo", [1, 0, 0], [0.8, 0.6, 0]), concept("rex", [0, 1, 0])
    mistaken = replace(bo.avatars[1], shows=False)
    library = Library.of([replace(bo, avatars=(bo.avatars[0], mistaken)), rex], EmbeddingSpace("v", 3))
    queries = np.array([[1, 0, 0], [0.8, 0.6, 0], [0.95, 0.31, 0], [0, 0, 1]], np.float32)
    places = [c.name for c in library.concepts]
    similarities, avatars = library.similarities(queries)
    of_bo = similarities[:, places.index("bo")]
    assert np.isfinite(of_bo).tolist() == [True, False, True, True]
    assert (avatars[:, places.index("bo")] == 0).all()
    assert similarities[1, places.index("rex")] == pytest.approx(0.6)
