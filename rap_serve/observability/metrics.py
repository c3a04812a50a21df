"""What is counted, through Ray's metrics: one class a place, one typed method an event. No label grows with users.

Built in the replica: Ray's metrics must not be pickled. What each is called in a scrape is in ``docs/metrics.md``.
"""

from typing import Literal

from ray.serve.metrics import Counter, Gauge, Histogram

from rap_serve.domain.chat import Usage
from rap_serve.domain.job import Backlog
from rap_serve.services.look import CacheUse
from rap_serve.services.retrieve import Retrieval

_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]
_LATE_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0]
_MILLISECONDS = [0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500]
_FIRST_TOKEN_MILLISECONDS = [5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000]
_CONFIDENCES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]
_CONCEPTS = [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
"""Between the whole numbers, so that each bucket is one of them."""


class GatewayMetrics:
    """Requests, retrievals, and answers up to their first piece."""

    def __init__(self) -> None:
        self._requests = Counter(
            "rap_requests_total", description="Finished HTTP requests.", tag_keys=("route", "method", "status")
        )
        self._seconds = Histogram(
            "rap_request_seconds", description="From headers to last byte.", boundaries=_SECONDS, tag_keys=("route",)
        )

        self._late = Histogram(
            "rap_event_loop_late_seconds",
            description="By how much the gateway's event loop was late, looked at ten times a second.",
            boundaries=_LATE_SECONDS,
        )
        self._under_way = 0
        self._in_progress = Gauge("rap_requests_in_progress", description="HTTP requests under way.")
        self._steps = Histogram(
            "rap_retrieval_milliseconds",
            description="One step of a request, up to its retrieval.",
            boundaries=_MILLISECONDS,
            tag_keys=("step",),
        )
        self._retrievals = Counter(
            "rap_retrievals_total", description="Retrievals by use of the cache.", tag_keys=("cache",)
        )
        self._evidence = Counter(
            "rap_evidence_total", description="Concepts that were allowed into a prompt.", tag_keys=("source",)
        )
        self._confidence = Histogram(
            "rap_evidence_confidence",
            description="How sure it was that a region shows the concept that was allowed.",
            boundaries=_CONFIDENCES,
            tag_keys=("source",),
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
        self._prompt = Histogram(
            "rap_prompt_milliseconds", description="Building one prompt, its pictures read.", boundaries=_MILLISECONDS
        )
        self._first_token = Histogram(
            "rap_time_to_first_token_seconds",
            description="From a request's headers to its answer's first piece.",
            boundaries=_SECONDS,
        )
        self._concepts = Histogram(
            "rap_answer_concepts", description="Concepts that an answer was given.", boundaries=_CONCEPTS
        )

    def request_began(self) -> None:
        """One more request is under way."""
        self._under_way += 1
        self._in_progress.set(self._under_way)

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """One request is finished."""
        self._under_way -= 1
        self._in_progress.set(self._under_way)
        self._requests.inc(tags={"route": route, "method": method, "status": str(status)})
        self._seconds.observe(seconds, tags={"route": route})

    def late(self, seconds: float) -> None:
        """The event loop was late by so much."""
        self._late.observe(seconds)

    def retrieval(self, found: Retrieval) -> None:
        """One finished retrieval."""
        self._retrievals.inc(tags={"cache": found.cache})
        for step, milliseconds in found.timings.milliseconds.items():
            self._steps.observe(milliseconds, tags={"step": step})
        for evidence in found.evidence:
            self._evidence.inc(tags={"source": evidence.source})
            if evidence.confidence is not None:
                self._confidence.observe(evidence.confidence, tags={"source": evidence.source})
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

    def answer_began(self, given: Retrieval, *, seconds: float) -> None:
        """The first piece of an answer is there, ``seconds`` after the request."""
        self._first_token.observe(seconds)
        self._prompt.observe(given.timings.milliseconds["prompt"])
        self._concepts.observe(len(given.evidence))


class MemoryMetrics:
    """Calls to the concept memory."""

    def __init__(self) -> None:
        self._calls = Counter(
            "rap_memory_calls_total", description="Calls to the concept memory.", tag_keys=("call", "outcome")
        )
        self._took = Histogram(
            "rap_memory_milliseconds",
            description="One call to the concept memory.",
            boundaries=_MILLISECONDS,
            tag_keys=("call",),
        )

    def call(self, call: str, outcome: Literal["ok", "refused", "unavailable"], *, seconds: float) -> None:
        """One call came to its end."""
        self._calls.inc(tags={"call": call, "outcome": outcome})
        self._took.observe(1_000 * seconds, tags={"call": call})


class JobMetrics:
    """Jobs that wait to be taken up."""

    def __init__(self) -> None:
        self._waiting = Gauge("rap_jobs_waiting", description="Jobs that a gateway should take up by now.")
        self._longest = Gauge("rap_jobs_longest_wait_seconds", description="How long the first of them has waited.")

    def backlog(self, backlog: Backlog) -> None:
        """How things stand."""
        self._waiting.set(backlog.waiting)
        self._longest.set(backlog.longest_seconds)


class CacheMetrics:
    """Copies that were looked for."""

    def __init__(self) -> None:
        self._lookups = Counter(
            "rap_cache_lookups_total", description="Copies that were looked for.", tag_keys=("kind", "result")
        )

        self._available = Gauge("rap_cache_available", description="Whether copies could be kept, when last asked.")

    def available(self, answers: bool) -> None:
        """It was asked whether it answers."""
        self._available.set(int(answers))

    def library(self, result: CacheUse) -> None:
        """An owner's library was looked for."""
        self._lookups.inc(tags={"kind": "library", "result": result})

    def features(self, result: CacheUse) -> None:
        """What a picture shows was looked for."""
        self._lookups.inc(tags={"kind": "features", "result": result})


class MllmMetrics:
    """Answers of the MLLM, as the gateway sees them come."""

    def __init__(self) -> None:
        self._answers = Counter(
            "rap_mllm_answers_total", description="Answers by why they ended.", tag_keys=("outcome",)
        )
        self._errors = Counter(
            "rap_mllm_errors_total", description="Answers that ended in an error, by its code.", tag_keys=("code",)
        )
        self._first_token = Histogram(
            "rap_mllm_first_token_milliseconds",
            description="From handing over the prompt to the first piece of the answer.",
            boundaries=_FIRST_TOKEN_MILLISECONDS,
        )
        self._per_token = Histogram(
            "rap_mllm_time_per_output_token_milliseconds",
            description="Between the first and the last piece, per further token.",
            boundaries=_MILLISECONDS,
        )
        self._tokens = Counter(
            "rap_mllm_tokens_total",
            description="Tokens in and out; pictures are part of the prompt.",
            tag_keys=("kind",),
        )

    def first_token(self, seconds: float) -> None:
        """The first piece of an answer came."""
        self._first_token.observe(1_000 * seconds)

    def answer(self, outcome: str, usage: Usage | None, *, later_seconds: float) -> None:
        """One answer ended. ``later_seconds``: from its first to its last piece."""
        self._answers.inc(tags={"outcome": outcome})
        if usage is None:
            return
        if usage.completion_tokens > 1:
            self._per_token.observe(1_000 * later_seconds / (usage.completion_tokens - 1))
        for kind, tokens in (("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)):
            if tokens:
                self._tokens.inc(tokens, tags={"kind": kind})

    def error(self, code: str) -> None:
        """One answer ended in an error."""
        self._errors.inc(tags={"code": code})


class AdmissionMetrics:
    """Who was let in, who was not, and how long the lines are, per lane."""

    def __init__(self) -> None:
        self._admitted = Counter("rap_admissions_total", description="Requests whose turn came.", tag_keys=("lane",))
        self._rejected = Counter(
            "rap_rejections_total",
            description="Requests that were told to come again later, by reason.",
            tag_keys=("lane", "reason"),
        )
        self._waited = Histogram(
            "rap_admission_wait_milliseconds",
            description="From a request's coming to its turn.",
            boundaries=_MILLISECONDS,
            tag_keys=("lane",),
        )
        self._waiting = Gauge("rap_admission_waiting", description="Requests in line.", tag_keys=("lane",))
        self._under_way = Gauge("rap_admission_under_way", description="Requests let in.", tag_keys=("lane",))
        self._slots = Gauge("rap_admission_slots", description="How many slots there are.", tag_keys=("lane",))

    def admitted(self, *, lane: str, waited_seconds: float) -> None:
        """One whose turn came."""
        self._admitted.inc(tags={"lane": lane})
        self._waited.observe(1_000 * waited_seconds, tags={"lane": lane})

    def rejected(self, *, lane: str, reason: str) -> None:
        """One that was turned away."""
        self._rejected.inc(tags={"lane": lane, "reason": reason})

    def lane(self, *, lane: str, waiting: int, under_way: int, slots: int) -> None:
        """How things stand."""
        self._waiting.set(waiting, tags={"lane": lane})
        self._under_way.set(under_way, tags={"lane": lane})
        self._slots.set(slots, tags={"lane": lane})


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
