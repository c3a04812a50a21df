"""A colour descriptor of a crop: where a learned embedding is weak, colour still tells things apart."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]

GRID = 36
HUES, SATURATIONS, VALUES = 16, 3, 4
ROWS = 3
LAYOUT_SHARE = 0.5
CELLS = HUES * SATURATIONS * VALUES
DIMENSIONS = CELLS * (1 + ROWS)


def colour_descriptor(crop: NDArray[np.uint8]) -> Floats:
    """Soft HSV histograms of the whole crop and of its upper, middle and lower third.

    ``crop``: RGB, uint8, (h, w, 3). Returns float32, (DIMENSIONS,), L2 norm 1, none below zero; the dot
    product of two is a mean of Bhattacharyya coefficients. Pixels near the centre count more, since a box
    holds background at its edges.
    """
    hue, saturation, value = _hsv(_sampled(crop))
    cells, weights = _soft_cells(hue, saturation, value)
    centre = _centre_weights()
    band = np.repeat(np.arange(GRID * GRID) // GRID * ROWS // GRID, 8)
    mass = (weights * centre[:, None]).ravel()
    by_band = np.bincount(band * CELLS + cells.ravel(), mass, ROWS * CELLS).reshape(ROWS, CELLS)
    whole = by_band.sum(axis=0) / mass.sum()
    bands = by_band / by_band.sum(axis=1, keepdims=True) / ROWS
    parts = ((1 - LAYOUT_SHARE) * whole, LAYOUT_SHARE * bands.ravel())
    root = np.sqrt(np.concatenate(parts))
    return np.asarray(root / np.linalg.norm(root), dtype=np.float32)


def join_colour(learned: Floats, colour: Floats, weight: float) -> Floats:
    """One embedding of both, so that the cosine is (1 - weight) of the learned and ``weight`` of the colour one.

    Rows of ``learned``, (n, d), and ``colour``, (n, k), have norm 1; so do those of the result, (n, d + k).
    """
    if weight == 0:
        return learned
    parts = [np.sqrt(1 - weight) * learned, np.sqrt(weight) * colour]
    return np.asarray(np.concatenate(parts, axis=1), dtype=np.float32)


def _sampled(crop: NDArray[np.uint8]) -> Floats:
    """About GRID x GRID local means as (GRID * GRID, 3), 0-1: four taps a cell."""
    height, width = crop.shape[:2]
    rows = ((np.arange(2 * GRID) + 0.5) * height / (2 * GRID)).astype(np.intp)
    columns = ((np.arange(2 * GRID) + 0.5) * width / (2 * GRID)).astype(np.intp)
    taps = crop[rows[:, None], columns].astype(np.float32)
    means = taps.reshape(GRID, 2, GRID, 2, 3).mean(axis=(1, 3)).reshape(-1, 3)
    return np.asarray(means / 255, dtype=np.float32)


def _hsv(rgb: Floats) -> tuple[Floats, Floats, Floats]:
    """Hue 0-1 (a circle), saturation 0-1 and value 0-1 of each row."""
    red, green, blue = rgb.T
    value = rgb.max(axis=1)
    chroma = value - rgb.min(axis=1)
    safe = np.where(chroma > 0, chroma, 1)
    hue = np.where(
        value == red,
        (green - blue) / safe % 6,
        np.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return np.asarray(hue / 6, dtype=np.float32), chroma / np.maximum(value, np.float32(0.08)), value


def _soft_cells(hue: Floats, saturation: Floats, value: Floats) -> tuple[NDArray[np.intp], Floats]:
    """The eight histogram cells around each pixel and its share in each: both (n, 8).

    Without saturation a hue means nothing: such pixels go to the first hue of the lowest saturation.
    """
    h = hue * HUES
    s = np.clip(np.sqrt(saturation) * (SATURATIONS - 1), 0, SATURATIONS - 1 - 1e-4)
    v = np.clip(value * (VALUES - 1), 0, VALUES - 1 - 1e-4)
    cells, shares = [], []
    for ds in (0, 1):
        level = s.astype(np.intp) + ds
        for dh in (0, 1):
            turn = np.where(level == 0, 0, (h.astype(np.intp) + dh) % HUES)
            for dv in (0, 1):
                cells.append((turn * SATURATIONS + level) * VALUES + v.astype(np.intp) + dv)
                shares.append(_share(h, dh) * _share(s, ds) * _share(v, dv))
    return np.stack(cells, axis=1), np.stack(shares, axis=1)


def _share(position: Floats, step: int) -> Floats:
    part = position - np.floor(position)
    return np.asarray(part if step else 1 - part, dtype=np.float32)


def _centre_weights() -> Floats:
    at = (np.arange(GRID, dtype=np.float32) + 0.5) / GRID * 2 - 1
    return np.asarray(np.exp(-(at[:, None] ** 2 + at**2) / 0.9).ravel(), dtype=np.float32)
