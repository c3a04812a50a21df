"""Our serving settings as Ray Serve's deployment options."""

from typing import Any

from ray.serve.config import RequestRouterConfig

from rap_serve.settings import ServeSettings

RETRY_AFTER_SECONDS = 2
"""What Ray Serve tells clients where its own queue is full, which the gateway's admission comes before."""


def serve_options(settings: ServeSettings) -> dict[str, Any]:
    """Replicas, resources, bounded queues and health checks of one deployment."""
    return {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.target_ongoing_requests,
            "look_back_period_s": settings.look_back_seconds,
            "upscale_delay_s": settings.upscale_delay_seconds,
            "downscale_delay_s": settings.downscale_delay_seconds,
            "policy": {
                "policy_function": "deployments.scaling:QueueAndLatency",
                "policy_kwargs": {
                    "target_ongoing": settings.target_ongoing_requests,
                    "target_latency_seconds": settings.target_latency_seconds,
                },
            },
        },
        "max_surge_percent": settings.max_surge_percent,
        "ray_actor_options": {
            "num_cpus": settings.num_cpus,
            "num_gpus": settings.num_gpus,
            "resources": dict(settings.resources),
        },
        "max_ongoing_requests": settings.max_ongoing_requests,
        "max_queued_requests": settings.max_queued_requests,
        "backpressure_config": {"status_code": 503, "retry_after_s": RETRY_AFTER_SECONDS},
        "health_check_period_s": settings.health_check_period_seconds,
        "health_check_timeout_s": settings.health_check_timeout_seconds,
        "graceful_shutdown_timeout_s": settings.graceful_shutdown_seconds,
        "logging_config": {"enable_access_log": False},  # the gateway has one, and lines cost what calls do
    }


def owner_routing() -> RequestRouterConfig:
    """Requests of one owner go to one replica, as far as its load allows."""
    return RequestRouterConfig(request_router_class="deployments.routing:OwnerRouter")
