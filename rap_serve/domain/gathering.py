"""How long a batch should be gathered, learned from how long batches take."""

import math

FORGETTING = 0.95
"""What an observation still counts for after the next one: about twenty of them decide."""


class Gathering:
    """What a model's forward passes take, and so how long a batch that is being gathered may still grow for nothing.

    While the model is busy a batch waits anyway, so gathering goes on until it is free; while it is idle nobody waits.
    Times are seconds on any clock that never goes back.
    """

    def __init__(self, *, most_seconds: float) -> None:
        """``most_seconds``: no wait is longer, whatever was observed."""
        self._most_seconds = most_seconds
        self._curve = Curve()
        self._free_at = -math.inf

    def began(self, size: int, now: float) -> None:
        """A forward pass over ``size`` items begins."""
        self._free_at = now + self._curve.seconds(size)

    def ended(self, size: int, seconds: float) -> None:
        """It took so long, and the model is idle."""
        self._curve.observe(size, seconds)
        self._free_at = -math.inf

    def wait_seconds(self, now: float) -> float:
        """How long to gather a batch whose first item comes now."""
        return min(self._most_seconds, max(0.0, self._free_at - now))


class Curve:
    """Seconds by batch size, as a straight line through what was observed, older observations counting less."""

    def __init__(self) -> None:
        self._count = self._size = self._seconds = self._squares = self._products = 0.0

    def observe(self, size: int, seconds: float) -> None:
        """A batch of ``size`` items took so long."""
        sums = (self._count, self._size, self._seconds, self._squares, self._products)
        new = (1.0, size, seconds, size * size, size * seconds)
        kept = (FORGETTING * old + added for old, added in zip(sums, new, strict=True))
        self._count, self._size, self._seconds, self._squares, self._products = kept

    def seconds(self, size: int) -> float:
        """What a batch of ``size`` is likely to take; 0 before anything was observed."""
        if not self._count:
            return 0.0
        mean_size, mean_seconds = self._size / self._count, self._seconds / self._count
        spread = self._squares / self._count - mean_size**2
        together = self._products / self._count - mean_size * mean_seconds
        slope = max(0.0, together / spread) if spread > 1e-6 else 0.0
        return max(0.0, mean_seconds + slope * (size - mean_size))
