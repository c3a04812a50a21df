"""What a trial came to: failures, repeated and cut requests, wrong answers, and how long latencies stayed away."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from loadtest.load.done import Done
from loadtest.load.record import Run

WINDOW_SECONDS = 10.0
BACK = 1.5
"""A window's 99th percentile is back where it is at most this much above that of before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``back_seconds``: from the disturbance until all later windows were as before; None where they never were.

    ``p99_ms``: of whole requests, retries included, before the disturbance, and in the worst window after it.
    """

    asked: int
    failed: dict[str, int]
    wrong: int
    repeated: int
    cut: int
    p99_before_ms: float
    p99_worst_ms: float
    back_seconds: float | None

    @property
    def succeeded(self) -> float:
        """The share of requests."""
        return 1 - sum(self.failed.values()) / max(1, self.asked)

    def json(self) -> dict[str, object]:
        """With the share."""
        return {**asdict(self), "succeeded": round(self.succeeded, 5)}


def outcome(run: Run, disturbed_at: float) -> Outcome:
    """``disturbed_at``: in seconds since the load began."""
    before = run.between(0, disturbed_at)
    usual = _p99(before)
    starts = np.arange(disturbed_at, run.seconds - WINDOW_SECONDS / 2, WINDOW_SECONDS)
    worst = [_p99(run.between(start, start + WINDOW_SECONDS)) for start in starts]
    late = [n for n, p99 in enumerate(worst) if p99 > BACK * usual]
    return Outcome(
        asked=len(run.acts),
        failed=dict(Counter(f"{d.act}: {d.error}" for d in run.acts if d.error)),
        wrong=sum(d.violated for d in run.acts),
        repeated=sum(d.attempts > 1 for d in run.acts),
        cut=sum(d.cut for d in run.acts),
        p99_before_ms=round(usual, 1),
        p99_worst_ms=round(max(worst, default=0.0), 1),
        back_seconds=_back(late, len(worst)),
    )


def _back(late: Sequence[int], windows: int) -> float | None:
    """The end of the last window that was not as before."""
    if not late:
        return 0.0
    return None if late[-1] == windows - 1 else WINDOW_SECONDS * (late[-1] + 1)


def _p99(acts: Sequence[Done]) -> float:
    return float(np.percentile([d.total_ms for d in acts], 99)) if acts else 0.0
