"""How many requests may be under way, by what they experience: additive increase, multiplicative decrease."""

import numpy as np

from rap_serve.domain.errors import InvalidInput

LEAST_SAMPLES = 8
DECREASE = 0.85
SHARE = 0.75
"""The share of requests that must be within the target. A median alone would let the slowest quarter grow unseen."""


class Pace:
    """A number of slots between ``least`` and ``most``, steered by the time to the first token.

    It is judged once as many answers have begun as there are slots. Too slow: fewer slots. Within the target, and
    all slots were needed: one more. Without a target it stays at ``most``.
    """

    def __init__(self, *, least: int, most: int, target_seconds: float | None) -> None:
        """Raises InvalidInput for bounds that hold nothing."""
        if not 1 <= least <= most:
            raise InvalidInput("At least one slot, and no fewer at most than at least.")
        self._least, self._most = least, most
        self._target_seconds = target_seconds
        self._slots = float(most)
        self._seconds: list[float] = []
        self._needed = False

    @property
    def slots(self) -> int:
        """How many there are now."""
        return int(self._slots)

    def needed(self) -> None:
        """All slots are taken, and somebody waits."""
        self._needed = True

    def began(self, seconds: float) -> None:
        """An answer began so long after its request was let in."""
        if self._target_seconds is None:
            return
        self._seconds.append(seconds)
        if len(self._seconds) < max(LEAST_SAMPLES, self.slots):
            return
        if float(np.quantile(self._seconds, SHARE)) > self._target_seconds:
            self._slots = max(self._least, self._slots * DECREASE)
        elif self._needed:
            self._slots = min(self._most, self._slots + 1)
        self._seconds, self._needed = [], False
