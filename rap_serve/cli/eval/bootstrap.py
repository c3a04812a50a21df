"""Figures with their 95 % intervals, by resampling whole pictures, questions of one picture together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Sums: TypeAlias = NDArray[np.float64]
Formula: TypeAlias = Callable[[Sums], Sums]
"""From sums over pictures, (..., columns), to the value, (...)."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with its interval. ``n``: how many cases it rests on; ``units``: how many were resampled.

    NaN where it does not exist.
    """

    value: float
    low: float
    high: float
    n: int
    units: int

    def json(self) -> dict[str, Any]:
        """For a report; None for what does not exist."""
        return {k: None if v != v else round(v, 4) for k, v in asdict(self).items()}

    @classmethod
    def of(cls, raw: dict[str, Any]) -> "Figure":
        """From a report."""
        value, low, high = (float("nan") if raw[k] is None else float(raw[k]) for k in ("value", "low", "high"))
        return cls(value, low, high, int(raw["n"]), int(raw["units"]))


RESAMPLES = 2_000
CONFIDENCE_PERCENT = 95.0
Z_TWO_SIDED = 1.959964
"""Normal quantile of the 95 % interval."""

NO_SPREAD = 1e-9
NOTHING = Figure(float("nan"), float("nan"), float("nan"), 0, 0)


def figure(rows: Sequence[Sequence[float]], formula: Formula, *, n: int, seed: int = 0, share: bool = True) -> Figure:
    """``formula`` of the columns' sums. ``rows``: what each picture adds; ``share``: whether the value lies in 0-1.

    Where every resample gives the same share resampling says nothing; the interval is then Wilson's over the pictures.
    """
    table = np.asarray(rows, np.float64)
    if not n or not len(table):
        return NOTHING
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(formula(table.sum(axis=0)))
        resampled = formula(weights(len(table), seed) @ table)
    return with_interval(value, resampled, n=n, units=len(table), share=share)


def weights(units: int, seed: int, *, resamples: int = RESAMPLES) -> Sums:
    """How often each unit is drawn in each resample: float64, (resamples, units)."""
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=resamples)
    return drawn.astype(np.float64)


def with_interval(value: float, resampled: Sums, *, n: int, units: int, share: bool = True) -> Figure:
    """The figure with the percentiles of its resamples, those that exist."""
    known = resampled[np.isfinite(resampled)]
    if value != value or not len(known):
        return Figure(float("nan"), float("nan"), float("nan"), n, units)
    tail = (100.0 - CONFIDENCE_PERCENT) / 2
    low, high = (float(v) for v in np.percentile(known, [tail, 100.0 - tail]))
    if share and high - low < NO_SPREAD:
        low, high = wilson(value, units)
    return Figure(value, low, high, n, units)


def wilson(share: float, units: int) -> tuple[float, float]:
    """The score interval of a share of ``units`` independent cases (Wilson 1927)."""
    z2 = Z_TWO_SIDED**2
    middle = (share + z2 / (2 * units)) / (1 + z2 / units)
    reach = Z_TWO_SIDED * np.sqrt(share * (1 - share) / units + z2 / (4 * units**2)) / (1 + z2 / units)
    return max(0.0, float(middle - reach)), min(1.0, float(middle + reach))


def share_of(counts: Iterable[tuple[float, float]], *, seed: int = 0) -> Figure:
    """Hits over cases, both summed over pictures."""
    rows = list(counts)
    return figure(rows, lambda s: s[..., 0] / s[..., 1], n=int(sum(cases for _, cases in rows)), seed=seed)


def per_unit(counts: Iterable[float], *, seed: int = 0) -> Figure:
    """The mean count per picture, which may exceed 1."""
    rows = [(float(count), 1.0) for count in counts]
    return figure(rows, lambda s: s[..., 0] / s[..., 1], n=len(rows), seed=seed, share=False)
