"""The shipped embedder through open_clip itself."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from rap_serve.adapters.open_clip import Crops, OpenClipEmbedder, crops_in
from rap_serve.domain.errors import InvalidInput
from rap_serve.domain.region import cut_out

FOLDER = Path(__file__).parents[2] / "models" / "tiny" / "embedder"
BOXES = [(0.0, 0.0, 50.0, 60.0), (20.0, 10.0, 100.0, 90.0), (-5.0, -5.0, 400.0, 300.0)]


@pytest.fixture(scope="module")
def embedder() -> OpenClipEmbedder:
    """The shipped weights."""
    return OpenClipEmbedder.load(str(FOLDER))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Blocks of colour."""
    blocks = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return blocks.repeat(20, 0).repeat(20, 1)


def test_every_vector_has_norm_one_and_the_stated_width(embedder: OpenClipEmbedder, picture: np.ndarray) -> None:
    """Pictures and texts."""
    vectors = embedder.forward(embedder.preprocess(picture, BOXES))
    texts = embedder.embed_texts(["a red mug", "oat milk carton", "ünïcode 牛奶", ""])
    assert vectors.shape == (3, embedder.dim) and texts.shape == (4, embedder.text_dim)
    assert vectors.dtype == texts.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)


def test_a_crop_has_the_same_vector_alone_and_in_a_batch(embedder: OpenClipEmbedder, picture: np.ndarray) -> None:
    """Batches mix the crops of many callers."""
    crops = [embedder.preprocess(picture, [box]) for box in BOXES]
    together = embedder.forward(Crops.joined(crops))
    alone = np.concatenate([embedder.forward(crop) for crop in crops])
    assert np.allclose(together, alone, atol=1e-4)


def test_what_was_cut_out_before_is_prepared_alike(embedder: OpenClipEmbedder, picture: np.ndarray) -> None:
    """To the last bit: an import sends crops, a retrieval sends the picture."""
    sent = embedder.preprocess_crops([cut_out(picture, box) for box in BOXES])
    cut_here = embedder.preprocess(picture, BOXES)
    assert np.array_equal(sent.pixels, cut_here.pixels) and np.array_equal(sent.colour, cut_here.colour)


def test_a_large_call_goes_in_parts(embedder: OpenClipEmbedder, picture: np.ndarray) -> None:
    """In order, none larger than a batch may be, and one where there is nothing."""
    crops = embedder.preprocess(picture, BOXES)
    parts = crops.parts(2)
    assert [len(part) for part in parts] == [2, 1] and crops_in(parts) == 3
    assert np.array_equal(Crops.joined(parts).pixels, crops.pixels)
    assert [len(part) for part in embedder.preprocess(picture, []).parts(2)] == [0]


def test_no_boxes_give_no_vectors(embedder: OpenClipEmbedder, picture: np.ndarray) -> None:
    """An empty request is not an error."""
    crops = embedder.preprocess(picture, [])
    assert embedder.forward(crops).shape == (0, embedder.dim)
    assert len(Crops.joined([crops, embedder.preprocess(picture, BOXES)])) == 3


def test_a_box_outside_the_picture_is_refused_before_the_batch(embedder: OpenClipEmbedder, picture: np.ndarray) -> None:
    """It fails its own caller only."""
    with pytest.raises(InvalidInput):
        embedder.preprocess(picture, [(500.0, 500.0, 600.0, 600.0)])


def test_a_copied_folder_is_the_same_embedder(embedder: OpenClipEmbedder, picture: np.ndarray, tmp_path: Path) -> None:
    """Nothing outside the folder is needed, and the version goes with it."""
    copy = OpenClipEmbedder.load(str(shutil.copytree(FOLDER, tmp_path / "embedder")))
    crops = embedder.preprocess(picture, BOXES)
    assert copy.version == embedder.version
    assert np.allclose(copy.forward(crops), embedder.forward(crops), atol=1e-5)


def test_words_for_one_kind_of_thing_are_nearer_than_for_two(embedder: OpenClipEmbedder) -> None:
    """The text space that the detector's vocabulary uses."""
    mug, cup, car = embedder.embed_texts(["a mug", "a cup", "a toy car"])
    assert mug @ cup > mug @ car
