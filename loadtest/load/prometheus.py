"""Prometheus' text format, as far as a load test reads it: sums over replicas, by the labels that matter."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WATCHED: Mapping[str, tuple[str, ...]] = {
    "ray_rap_requests_total": ("route", "status"),
    "ray_rap_requests_in_progress": (),
    "ray_rap_retrieval_milliseconds": ("step",),
    "ray_rap_prompt_milliseconds": (),
    "ray_rap_time_to_first_token_seconds": (),
    "ray_rap_evidence_total": ("source",),
    "ray_rap_abstentions_total": (),
    "ray_rap_degraded_total": ("part",),
    "ray_rap_cache_lookups_total": ("kind", "result"),
    "ray_rap_mllm_answers_total": ("outcome",),
    "ray_rap_mllm_errors_total": ("code",),
    "ray_rap_mllm_tokens_total": ("kind",),
    "ray_rap_mllm_first_token_milliseconds": (),
    "ray_rap_mllm_time_per_output_token_milliseconds": (),
    "ray_serve_deployment_replica_healthy": ("deployment",),
    "ray_serve_autoscaling_target_replicas": ("deployment",),
    "ray_serve_deployment_queued_queries": ("deployment",),
    "ray_serve_replica_processing_queries": ("deployment",),
    "ray_rap_batch_size": ("deployment",),
    "ray_rap_batch_wait_seconds": ("deployment",),
    "ray_vllm_num_requests_running": (),
    "ray_vllm_num_requests_waiting": (),
    "ray_vllm_prefix_cache_queries_total": (),
    "ray_vllm_prefix_cache_hits_total": (),
    "ray_vllm_mm_cache_queries_total": (),
    "ray_vllm_mm_cache_hits_total": (),
}
"""By the labels that are kept. Of a histogram, its sum and count are read."""

_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one metric, summed over whatever is not among ``labels``."""

    name: str
    labels: tuple[str, ...]
    value: float

    def json(self) -> list[Any]:
        """Short, since there are many."""
        return [self.name, list(self.labels), self.value]


def watched(text: str) -> list[Reading]:
    """The series of ``WATCHED`` in a scrape."""
    kept = {f"{name}{ending}": labels for name, labels in WATCHED.items() for ending in ("", "_sum", "_count")}
    sums: dict[tuple[str, tuple[str, ...]], float] = defaultdict(float)
    for line in text.splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if name not in kept or (found := _LINE.match(line)) is None:
            continue
        labels = dict(_LABEL.findall(found[2] or ""))
        sums[name, tuple(labels.get(key, "") for key in kept[name])] += float(found[3])
    return [Reading(name, labels, value) for (name, labels), value in sums.items()]
