"""Our serving settings as Ray Serve's deployment options."""

from typing import Any

from ray.serve.config import RequestRouterConfig

from rap_serve.settings import ServeSettings


def serve_options(settings: ServeSettings) -> dict[str, Any]:
    """Replicas, resources, bounded queues and health checks of one deployment."""
    return {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.target_ongoing_requests,
        },
        "ray_actor_options": {"num_cpus": settings.num_cpus, "num_gpus": settings.num_gpus},
        "max_ongoing_requests": settings.max_ongoing_requests,
        "max_queued_requests": settings.max_queued_requests,
        "health_check_period_s": settings.health_check_period_seconds,
        "health_check_timeout_s": settings.health_check_timeout_seconds,
        "graceful_shutdown_timeout_s": settings.graceful_shutdown_seconds,
    }


def owner_routing() -> RequestRouterConfig:
    """Requests of one owner go to one replica, as far as its load allows."""
    return RequestRouterConfig(request_router_class="deployments.routing:OwnerRouter")
