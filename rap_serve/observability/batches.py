"""What a model's replica counts of its batches, through Ray's metrics. No label grows with users."""

from opentelemetry.trace import get_current_span
from ray.serve.metrics import Histogram

from rap_serve.observability.attributes import BATCH_WAIT_MS

_SIZES = [1, 2, 4, 8, 16, 32, 64, 128]
_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]


class BatchMetrics:
    """Built in the replica: Ray's metrics must not be pickled. Ray adds the deployment's name as a label."""

    def __init__(self) -> None:
        self._sizes = Histogram(
            "rap_batch_size", description="Pictures or crops in one forward pass.", boundaries=_SIZES
        )
        self._waits = Histogram(
            "rap_batch_wait_seconds",
            description="From a prepared call to the forward pass that it is in.",
            boundaries=_SECONDS,
        )
        self._forwards = Histogram("rap_forward_seconds", description="One forward pass.", boundaries=_SECONDS)

    def waited(self, seconds: float) -> None:
        """One call, before its forward pass began; told within the call, so that its span says so, too."""
        self._waits.observe(seconds)
        get_current_span().set_attribute(BATCH_WAIT_MS, 1_000 * seconds)

    def forward(self, size: int, seconds: float) -> None:
        """One forward pass."""
        self._sizes.observe(size)
        self._forwards.observe(seconds)
