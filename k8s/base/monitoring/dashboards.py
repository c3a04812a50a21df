"""The dashboards, written down once and turned into Grafana's JSON: ``python k8s/base/monitoring/dashboards.py``.

A panel is a title, what it says, a unit, and expressions with their legends. Three stand in a row.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent / "dashboards"
COLUMNS, HEIGHT, GRID = 3, 8, 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Panel:
    """One graph. ``queries``: legend -> PromQL."""

    title: str
    says: str
    unit: str
    queries: dict[str, str]


def quantile(part: float, metric: str, by: str = "", of: str = "") -> str:
    """A quantile of a histogram over the last minutes, per ``by``. ``of``: the labels of the series meant."""
    labels, series = f"le, {by}" if by else "le", f"{metric}_bucket" + (f"{{{of}}}" if of else "")
    return f"histogram_quantile({part}, sum by ({labels}) (rate({series}[$__rate_interval])))"


def per_second(metric: str, by: str = "") -> str:
    """How fast a counter goes, per ``by``."""
    return f"sum by ({by}) (rate({metric}[$__rate_interval]))" if by else f"sum(rate({metric}[$__rate_interval]))"


def share(above: str, below: str, by: str = "") -> str:
    """One counter's part of another."""
    return f"{per_second(above, by)} / {per_second(below, by)}"


def three(metric: str, by: str = "") -> dict[str, str]:
    """Median and tails of a histogram, per ``by``."""
    legend = f"{{{{{by}}}}} " if by else ""
    return {f"{legend}p{round(100 * q)}": quantile(q, metric, by) for q in (0.5, 0.95, 0.99)}


TRAFFIC = [
    Panel(
        "Requests by status",
        "Finished requests a second. 429 and 503 are refusals: see the runbook of RapRejections.",
        "reqps",
        {"{{status}}": per_second("ray_rap_requests_total", "status")},
    ),
    Panel(
        "Availability, share of failures",
        "Requests that were answered with 5xx, the health routes left out. The objective allows 0.5 %.",
        "percentunit",
        {
            "5 minutes": "rap:request_failures:ratio5m",
            "1 hour": "rap:request_failures:ratio1h",
            "3 days": "rap:request_failures:ratio3d",
        },
    ),
    Panel(
        "Late first tokens",
        "Answers whose first piece came more than 2.5 s after the request. The objective allows 5 %.",
        "percentunit",
        {
            "5 minutes": "rap:late_first_tokens:ratio5m",
            "1 hour": "rap:late_first_tokens:ratio1h",
            "3 days": "rap:late_first_tokens:ratio3d",
        },
    ),
    Panel(
        "Time to first token",
        "From a chat request's headers to its answer's first piece.",
        "s",
        three("ray_rap_time_to_first_token_seconds"),
    ),
    Panel(
        "Slowest routes",
        "99th percentile from headers to the last byte, the five slowest routes.",
        "s",
        {"{{route}}": f"topk(5, {quantile(0.99, 'ray_rap_request_seconds', 'route')})"},
    ),
    Panel(
        "Time per output token",
        "Per token after the first, as the gateway sees them come.",
        "ms",
        three("ray_rap_mllm_time_per_output_token_milliseconds"),
    ),
    Panel(
        "Under way",
        "HTTP requests in the gateways, and in Ray's proxies before them.",
        "short",
        {"gateways": "sum(ray_rap_requests_in_progress)", "proxies": "sum(ray_serve_num_ongoing_http_requests)"},
    ),
    Panel(
        "Tokens",
        "Into the model, pictures included, and out of it, a second.",
        "short",
        {"{{kind}}": per_second("ray_rap_mllm_tokens_total", "kind")},
    ),
    Panel(
        "How answers end",
        "By themselves, at their limit, in an error, or because the client left.",
        "reqps",
        {"{{outcome}}": per_second("ray_rap_mllm_answers_total", "outcome")},
    ),
]

ENGINE_ROOM = [
    Panel(
        "Replicas",
        "Healthy ones, and how many there should be.",
        "short",
        {
            "{{deployment}}": "sum by (deployment) (ray_serve_deployment_replica_healthy)",
            "{{deployment}} wanted": "max by (deployment) (ray_serve_autoscaling_target_replicas)",
        },
    ),
    Panel(
        "Waiting for a replica",
        "Calls that no replica has taken yet.",
        "short",
        {"{{deployment}}": "sum by (deployment) (ray_serve_deployment_queued_queries)"},
    ),
    Panel(
        "In the replicas",
        "Calls under way.",
        "short",
        {"{{deployment}}": "sum by (deployment) (ray_serve_replica_processing_queries)"},
    ),
    Panel(
        "Time in a replica",
        "95th percentile of one call, waiting in batches included.",
        "ms",
        {"{{deployment}}": quantile(0.95, "ray_serve_deployment_processing_latency_ms", "deployment")},
    ),
    Panel(
        "Hops of a request",
        "95th percentile of each step up to the retrieval's end, as the gateway sees it.",
        "ms",
        {
            "{{step}}": quantile(0.95, "ray_rap_retrieval_milliseconds", "step"),
            "prompt": quantile(0.95, "ray_rap_prompt_milliseconds"),
        },
    ),
    Panel(
        "First token of the model",
        "From handing over the prompt to the first piece, waiting for a replica included.",
        "ms",
        three("ray_rap_mllm_first_token_milliseconds"),
    ),
    Panel(
        "Batch size",
        "Mean and 95th percentile of pictures (detector) or crops (embedder) in one forward pass.",
        "short",
        {
            "{{deployment}} mean": share("ray_rap_batch_size_sum", "ray_rap_batch_size_count", "deployment"),
            "{{deployment}} p95": quantile(0.95, "ray_rap_batch_size", "deployment"),
        },
    ),
    Panel(
        "Batch wait",
        "95th percentile of what a call waited for its forward pass.",
        "s",
        {"{{deployment}}": quantile(0.95, "ray_rap_batch_wait_seconds", "deployment")},
    ),
    Panel(
        "Forward pass",
        "Median and 95th percentile.",
        "s",
        {
            "{{deployment}} p50": quantile(0.5, "ray_rap_forward_seconds", "deployment"),
            "{{deployment}} p95": quantile(0.95, "ray_rap_forward_seconds", "deployment"),
        },
    ),
    Panel(
        "Turns",
        "Requests in line and let in, and how many may be let in, per lane.",
        "short",
        {
            "{{lane}} waiting": "sum by (lane) (ray_rap_admission_waiting)",
            "{{lane}} let in": "sum by (lane) (ray_rap_admission_under_way)",
            "{{lane}} slots": "sum by (lane) (ray_rap_admission_slots)",
        },
    ),
    Panel(
        "Told to come again",
        "Refused requests a second, and why.",
        "reqps",
        {"{{lane}} {{reason}}": per_second("ray_rap_rejections_total", "lane, reason")},
    ),
    Panel(
        "Wait for a turn",
        "95th percentile, per lane.",
        "ms",
        {"{{lane}}": quantile(0.95, "ray_rap_admission_wait_milliseconds", "lane")},
    ),
    Panel(
        "vLLM",
        "Sequences in the engine's batch and before it.",
        "short",
        {"running": "sum(ray_vllm_num_requests_running)", "waiting": "sum(ray_vllm_num_requests_waiting)"},
    ),
    Panel(
        "vLLM's caches",
        "Share of the KV cache in use; hits of prompt prefixes and of prepared pictures.",
        "percentunit",
        {
            "KV cache used": "max(ray_vllm_kv_cache_usage_perc)",
            "prefix hits": share("ray_vllm_prefix_cache_hits_total", "ray_vllm_prefix_cache_queries_total"),
            "picture hits": share("ray_vllm_mm_cache_hits_total", "ray_vllm_mm_cache_queries_total"),
        },
    ),
    Panel(
        "Sent to the owner's replica",
        "Share of calls that went to their owner's first choice.",
        "percentunit",
        {
            "first choice": share('ray_rap_mllm_routed_total{choice="first"}', "ray_rap_mllm_routed_total"),
            "pictures spared": share('ray_rap_prompt_pictures_total{went="spared"}', "ray_rap_prompt_pictures_total"),
        },
    ),
    Panel(
        "Memory calls",
        "95th percentile of calls to the concept memory.",
        "ms",
        {"{{call}}": quantile(0.95, "ray_rap_memory_milliseconds", "call")},
    ),
    Panel(
        "Event loop",
        "99th percentile of how late the gateways' event loops were.",
        "s",
        {"{{replica}}": quantile(0.99, "ray_rap_event_loop_late_seconds", "replica")},
    ),
    Panel(
        "Machine's memory",
        "Share in use, per node.",
        "percentunit",
        {"{{ip}}": "max by (ip) (ray_node_mem_used / ray_node_mem_total)"},
    ),
]

RETRIEVAL = [
    Panel(
        "Abstentions",
        "Share of retrievals that allowed no concept. A jump after a change of models or thresholds is a regression.",
        "percentunit",
        {"now": "rap:abstentions:ratio1h", "a day before": "rap:abstentions:ratio1h offset 1d"},
    ),
    Panel(
        "Confidence of evidence",
        "How sure it was of what it let in: tenth percentile and median.",
        "percentunit",
        {
            "{{source}} p10": quantile(0.1, "ray_rap_evidence_confidence", "source"),
            "{{source}} p50": quantile(0.5, "ray_rap_evidence_confidence", "source"),
        },
    ),
    Panel(
        "Evidence",
        "Concepts let into prompts a second: for a region, or as the text names them.",
        "short",
        {"{{source}}": per_second("ray_rap_evidence_total", "source")},
    ),
    Panel(
        "Concepts per answer",
        "Mean number that an answer was given.",
        "short",
        {"mean": share("ray_rap_answer_concepts_sum", "ray_rap_answer_concepts_count")},
    ),
    Panel(
        "Copies found",
        "Share of lookups that were hits: an owner's library, a picture's features.",
        "percentunit",
        {"{{kind}}": share('ray_rap_cache_lookups_total{result="hit"}', "ray_rap_cache_lookups_total", "kind")},
    ),
    Panel(
        "Copies passed over",
        "Libraries read past the cache: their owner was writing, or Redis is not sure yet of what it knows.",
        "percentunit",
        {"bypass": "rap:cache_bypasses:ratio5m", "cache answers": "min(ray_rap_cache_available)"},
    ),
    Panel(
        "Retrievals",
        "By what became of the picture's features.",
        "reqps",
        {"{{cache}}": per_second("ray_rap_retrievals_total", "cache")},
    ),
    Panel(
        "Gone on without",
        "Retrievals a second that lacked the detector or the cache.",
        "reqps",
        {"{{part}}": per_second("ray_rap_degraded_total", "part")},
    ),
    Panel(
        "Retrieval",
        "From the first step to the last.",
        "ms",
        {
            "p50": quantile(0.5, "ray_rap_retrieval_milliseconds", "step").replace(
                "_bucket[", '_bucket{step="total"}['
            ),
            "p95": quantile(0.95, "ray_rap_retrieval_milliseconds", "step").replace(
                "_bucket[", '_bucket{step="total"}['
            ),
        },
    ),
]

DASHBOARDS = {
    "traffic": ("rap-serve: traffic and objectives", TRAFFIC),
    "engine-room": ("rap-serve: engine room", ENGINE_ROOM),
    "retrieval": ("rap-serve: retrieval quality", RETRIEVAL),
}


def dashboard(name: str) -> dict[str, Any]:
    """Grafana's model of it."""
    title, panels = DASHBOARDS[name]
    choice = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    return {
        "uid": f"rap-serve-{name}",
        "title": title,
        "tags": ["rap-serve"],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": [choice]},
        "panels": [_panel(place, panel) for place, panel in enumerate(panels)],
    }


def _panel(place: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(place, COLUMNS)
    width = GRID // COLUMNS
    return {
        "id": place + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": DATASOURCE,
        "gridPos": {"x": column * width, "y": row * HEIGHT, "w": width, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + i), "expr": expression, "legendFormat": legend}
            for i, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def main() -> None:
    """Writes all of them."""
    HERE.mkdir(exist_ok=True)
    for name in DASHBOARDS:
        (HERE / f"{name}.json").write_text(json.dumps(dashboard(name), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
