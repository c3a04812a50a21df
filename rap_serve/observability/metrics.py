"""What the gateway counts, through Ray's metrics, one typed method each. No label grows with users."""

from ray.serve.metrics import Counter, Histogram

from rap_serve.services.retrieve import Retrieval

_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]
_MILLISECONDS = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500]


class GatewayMetrics:
    """Built in the replica: Ray's metrics must not be pickled."""

    def __init__(self) -> None:
        self._requests = Counter(
            "rap_requests_total", description="Finished HTTP requests.", tag_keys=("route", "method", "status")
        )
        self._seconds = Histogram(
            "rap_request_seconds", description="From headers to last byte.", boundaries=_SECONDS, tag_keys=("route",)
        )

        self._steps = Histogram(
            "rap_retrieval_milliseconds",
            description="One step of a retrieval.",
            boundaries=_MILLISECONDS,
            tag_keys=("step",),
        )
        self._retrievals = Counter(
            "rap_retrievals_total", description="Retrievals by use of the cache.", tag_keys=("cache",)
        )
        self._evidence = Counter(
            "rap_evidence_total", description="Concepts that were allowed into a prompt.", tag_keys=("source",)
        )
        self._abstentions = Counter("rap_abstentions_total", description="Retrievals that allowed no concept.")
        self._pictures = Counter(
            "rap_prompt_pictures_total",
            description="Pictures in prompts, by whether they were sent.",
            tag_keys=("went",),
        )
        self._lacking = Counter(
            "rap_prompts_resent_total", description="Prompts whose pictures a replica did not hold as expected."
        )
        self._degraded = Counter(
            "rap_degraded_total", description="Retrievals that went on without a part.", tag_keys=("part",)
        )

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """One finished request."""
        self._requests.inc(tags={"route": route, "method": method, "status": str(status)})
        self._seconds.observe(seconds, tags={"route": route})

    def retrieval(self, found: Retrieval) -> None:
        """One finished retrieval."""
        self._retrievals.inc(tags={"cache": found.cache})
        for step, milliseconds in found.timings.milliseconds.items():
            self._steps.observe(milliseconds, tags={"step": step})
        for evidence in found.evidence:
            self._evidence.inc(tags={"source": evidence.source})
        for part in found.degraded:
            self._degraded.inc(tags={"part": part})
        if not found.evidence:
            self._abstentions.inc()

    def pictures(self, sent: int, spared: int) -> None:
        """One prompt on its way to a model: its pictures that went with their bytes, and those that went without."""
        for went, number in (("sent", sent), ("spared", spared)):
            if number:
                self._pictures.inc(number, tags={"went": went})

    def pictures_lacking(self) -> None:
        """A prompt had to be sent again: a replica did not hold what it was thought to hold."""
        self._lacking.inc()


class RoutingMetrics:
    """Counted wherever requests are given to replicas."""

    def __init__(self) -> None:
        self._routed = Counter(
            "rap_mllm_routed_total",
            description="Requests to the MLLM, by whether they went to their owner's first choice.",
            tag_keys=("choice",),
        )

    def routed(self, *, spilled: bool) -> None:
        """One request."""
        self._routed.inc(tags={"choice": "other" if spilled else "first"})
