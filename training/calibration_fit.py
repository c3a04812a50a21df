"""The numbers of a calibration out of measured similarities; what each means is ``Calibration``'s to say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rap_serve.domain.match import rivals

Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

RATES = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 5e-3, 2e-3)
MOST_SHARE = 0.9
ROUNDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One picture's regions against one library.

    ``similarities``: float32, (regions, concepts). ``shown``: int64, (regions,), which concept each region shows, -1
    for none. ``present``: bool, (concepts,), which concepts are in the picture, found by a region or not.
    """

    similarities: Floats
    shown: NDArray[np.int64]
    present: Flags


@dataclass(frozen=True, slots=True)
class Confidence:
    """The logistic of ``similarity - rival_share * max(rival, least_rival)``."""

    slope: float
    midpoint: float
    rival_share: float
    least_rival: float


def fit_confidence(pictures: Sequence[Compared]) -> Confidence:
    """The likeliest logistic of whether a picture shows a concept, given the region that speaks for it most.

    Which region that is depends on the share of the rival, which is fitted: a few rounds settle it.
    """
    least = float(np.median(np.concatenate([_own_rivals(p) for p in pictures])))
    present = np.concatenate([p.present for p in pictures])
    share = 0.0
    for _ in range(ROUNDS):
        pairs = np.concatenate([_best_pairs(p, share, least) for p in pictures])
        weights, _ = fit_logistic(pairs, present)
        share = float(np.clip(-weights[1] / weights[0], 0, MOST_SHARE))
    scores = pairs[:, :1] - share * pairs[:, 1:]
    (slope,), offset = fit_logistic(scores, present)
    return Confidence(float(slope), float(-offset / slope), share, least)


def fit_logistic(inputs: Floats, outcome: Flags) -> tuple[NDArray[np.float64], float]:
    """Weights, (k,), and offset of the likeliest logistic, by Newton's method on standardised inputs, (n, k)."""
    centre, spread = inputs.mean(axis=0), inputs.std(axis=0) + 1e-9
    design = np.concatenate([(inputs - centre) / spread, np.ones((len(inputs), 1))], axis=1).astype(np.float64)
    beta = np.zeros(design.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-3 * np.eye(len(beta))
        beta += np.linalg.solve(curvature, design.T @ (outcome - p) - 1e-3 * beta)
    weights = beta[:-1] / spread
    return weights, float(beta[-1] - weights @ centre)


def tail(best: Iterable[float]) -> dict[str, list[float]]:
    """The similarity that each of RATES of ``best`` reaches, ``best`` being one number for each picture."""
    falling = np.sort(np.fromiter(best, np.float64))[::-1]
    reached = [float(falling[min(len(falling) - 1, int(rate * len(falling)))]) for rate in RATES]
    return {"rate": list(RATES), "similarity": [round(value, 4) for value in reached]}


def equal_error(yes: Floats, no: Floats) -> float:
    """The threshold at which as large a share of ``yes`` falls below it as of ``no`` reaches it."""
    candidates = np.unique(np.concatenate([yes, no]))
    missed = np.searchsorted(np.sort(yes), candidates, side="left") / len(yes)
    passed = 1 - np.searchsorted(np.sort(no), candidates, side="left") / len(no)
    return float(candidates[np.argmin(np.abs(missed - passed))])


def _own_rivals(picture: Compared) -> Floats:
    """What else the regions resemble that show a concept."""
    rows = np.flatnonzero(picture.shown >= 0)
    return rivals(picture.similarities)[rows, picture.shown[rows]]


def _best_pairs(picture: Compared, share: float, least: float) -> Floats:
    """Similarity and rival of each concept at the region where the score is highest: (concepts, 2)."""
    others = np.maximum(rivals(picture.similarities), least)
    best = (picture.similarities - share * others).argmax(axis=0)
    columns = np.arange(len(best))
    return np.stack([picture.similarities[best, columns], others[best, columns]], axis=1)
