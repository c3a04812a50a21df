"""How long a batch is gathered for a model that is idle, learned from how its passes went."""

FORGETTING = 0.95
"""What an observation still counts for after the next one: about twenty of them decide."""
CONTENDED = 1.25
"""From how many seconds by the clock, for one that is computed, the cores are taken by others."""


class Gathering:
    """While a model is busy a batch waits anyway. While it is idle nobody waits, as long as there is a core for it.

    Where there is none, a pass would wait for one. For as long as that the batch may grow instead: those who have the
    core use it meanwhile, and one pass over two items takes it from them for less time than two.
    """

    def __init__(self, *, most_seconds: float) -> None:
        """``most_seconds``: no wait is longer, whatever was observed."""
        self._most_seconds = most_seconds
        self._count = self._seconds = self._computed = 0.0

    def passed(self, seconds: float, computed_seconds: float) -> None:
        """A pass took ``seconds`` by the clock, and ``computed_seconds`` of a core."""
        self._count = FORGETTING * self._count + 1
        self._seconds = FORGETTING * self._seconds + seconds
        self._computed = FORGETTING * self._computed + computed_seconds

    @property
    def wait_seconds(self) -> float:
        """How long a batch for an idle model may grow, from when its first item came."""
        if self._seconds <= CONTENDED * self._computed:
            return 0.0
        return min(self._most_seconds, (self._seconds - self._computed) / self._count)
