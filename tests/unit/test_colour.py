"""The colour descriptor and the way it joins a learned embedding."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rap_serve.domain.colour import DIMENSIONS, colour_descriptor, join_colour


def _flat(rgb: tuple[int, int, int], height: int = 40, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), rgb, np.uint8)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_any_crop_gives_a_unit_vector_of_one_length(height: int, width: int, seed: int) -> None:
    """Even one pixel; nothing is below zero."""
    crop = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    vector = colour_descriptor(crop)
    assert vector.shape == (DIMENSIONS,) and vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert vector.min() >= 0


def test_like_colours_are_nearer_than_unlike_ones() -> None:
    """Two reds, a red and a blue."""
    red, pale, blue = (colour_descriptor(_flat(rgb)) for rgb in ((200, 30, 30), (215, 50, 40), (30, 40, 200)))
    assert red @ pale > 0.6 > red @ blue


def test_the_hue_is_a_circle() -> None:
    """A red with a little blue and a red with a little yellow are alike."""
    first, second = colour_descriptor(_flat((220, 20, 30))), colour_descriptor(_flat((220, 30, 20)))
    assert first @ second > 0.8


def test_size_matters_little() -> None:
    """The same picture at twice the size has nearly the same descriptor."""
    small = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8).repeat(12, 0).repeat(12, 1)
    large = small.repeat(2, 0).repeat(2, 1)
    assert colour_descriptor(small) @ colour_descriptor(large) > 0.98


def test_above_and_below_are_told_apart() -> None:
    """Red over white is not white over red."""
    flag = np.concatenate([_flat((200, 30, 30), 30), _flat((240, 240, 240), 30)])
    assert colour_descriptor(flag) @ colour_descriptor(flag[::-1]) < 0.95


def test_the_joined_cosine_is_the_weighted_mean_of_both() -> None:
    """What join_colour promises, for two rows."""
    rng = np.random.default_rng(1)
    learned, colour = (rng.normal(size=(2, n)).astype(np.float32) for n in (8, 5))
    learned /= np.linalg.norm(learned, axis=1, keepdims=True)
    colour /= np.linalg.norm(colour, axis=1, keepdims=True)
    joined = join_colour(learned, colour, 0.3)
    assert joined[0] @ joined[1] == pytest.approx(0.7 * learned[0] @ learned[1] + 0.3 * colour[0] @ colour[1], abs=1e-5)
    assert join_colour(learned, colour, 0) is learned


def test_a_large_crop_takes_milliseconds_at_most() -> None:
    """Pixels are sampled first; the best of several tries, since machines are busy."""
    crop = np.random.default_rng(0).integers(0, 256, (1200, 900, 3), dtype=np.uint8)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        colour_descriptor(crop)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.01
