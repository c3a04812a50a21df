"""A Ray of one's own, for deployments that are called by their handles."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray
from ray import serve

from deployments.local import REPLICAS
from rap_serve.settings import PROJECT_ROOT


@contextmanager
def local_ray(cpus: int = 4, environment: Mapping[str, str] | None = None) -> Iterator[None]:
    """A Ray with Serve and without a proxy, in which this project can be imported. ``environment``: of its workers."""
    ray.init(
        address="local",
        num_cpus=cpus,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200 * 1024 * 1024,
        runtime_env={"env_vars": {"PYTHONPATH": str(PROJECT_ROOT), **REPLICAS, **(environment or {})}},
    )
    try:
        serve.start(proxy_location="Disabled")
        yield
    finally:
        serve.shutdown()
        ray.shutdown()
