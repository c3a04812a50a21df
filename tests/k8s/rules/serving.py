"""Whether what Kubernetes gives is what the profile asks for: places for replicas, time to finish, known names."""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import PurePosixPath
from unittest import mock

import yaml
from pydantic import ValidationError
from ray.scripts import scripts
from ray.serve.schema import HTTPOptionsSchema, ServeApplicationSchema, ServeDeploySchema

from deployments.local import HAPROXY, INLINE_BYTES, REPLICAS
from rap_serve.settings import PROJECT_ROOT, ServeSettings, Settings
from tests.k8s.rendered import Object, name_of, of_kind
from tests.k8s.workloads import Workload, workloads

SECRETS = {  # what the Secret rap-settings holds; made up
    "RAP_AUTH__SECRET": "a long random text",
    "RAP_AUTH__OPERATOR_KEY": "rap_operator",
    "RAP_CATALOGUE__URL": "postgresql+psycopg://rap:password@postgres:5432/rap",
    "RAP_REDIS__URL": "redis://:password@redis:6379/0",
    "RAP_MILVUS__TOKEN": "root:password",
}
ENVIRONMENT = {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "RAY_USAGE_STATS_ENABLED", "RAY_worker_niceness"}
ENVIRONMENT |= {"HOME", "HF_HOME", "HF_HUB_OFFLINE", "RAY_max_direct_call_object_size", *REPLICAS}
ENVIRONMENT |= {"RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_HAPROXY_BINARY_PATH", "RAP_HAPROXY"}
IN_THE_IMAGE = PurePosixPath("/app")
"""Where the project is there."""


def violations(objects: Sequence[Object]) -> Iterator[str]:
    """All of this module's."""
    (service,) = of_kind(list(objects), "RayService")
    yield from configured(service)
    yield from started(service)
    try:
        settings = settings_of(objects)
    except ValidationError as error:
        yield f"the settings do not load: {error}"
        return
    yield from offered(service, settings)
    yield from in_time(objects, settings)
    yield from found(objects, settings)
    (environment,) = (m for m in of_kind(list(objects), "ConfigMap") if m["metadata"]["name"].startswith("rap-env"))
    if set(environment["data"]) != ENVIRONMENT:
        yield f"{name_of(environment)} has other names than are known: {sorted(environment['data'])}"
    if environment["data"].get("RAY_max_direct_call_object_size") != str(INLINE_BYTES):
        yield f"{name_of(environment)} lets other pictures travel within calls than one machine does"
    if not REPLICAS.items() <= environment["data"].items():
        yield f"{name_of(environment)} starts replicas otherwise than one machine does"
    if environment["data"].get("RAY_SERVE_HAPROXY_BINARY_PATH") != str(
        IN_THE_IMAGE / HAPROXY.relative_to(PROJECT_ROOT)
    ):
        yield f"{name_of(environment)} starts HAProxy from where it is not"


def settings_of(objects: Sequence[Object]) -> Settings:
    """What the nodes of the overlay will load."""
    (service,) = of_kind(list(objects), "RayService")
    (told,) = (m for m in of_kind(list(objects), "ConfigMap") if m["metadata"]["name"].startswith("rap-settings-"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RAP_")}
    (application,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    with mock.patch.dict(os.environ, {**kept, **SECRETS, **told["data"]}, clear=True):
        return Settings.load(application["args"]["profile"])


def configured(service: Object) -> Iterator[str]:
    """The Serve config, in which Ray would overlook a name that it does not know."""
    config = yaml.safe_load(service["spec"].get("serveConfigV2", "")) or {}
    known = [(config, ServeDeploySchema), (config.get("http_options", {}), HTTPOptionsSchema)]
    known += [(a, ServeApplicationSchema) for a in config.get("applications", ())]
    for part, schema in known:
        if unknown := set(part) - set(schema.model_fields):
            yield f"the Serve config has names that Ray does not know: {sorted(unknown)}"
    try:
        ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        yield f"the Serve config is wrong: {error}"


@cache
def _start_parameters() -> set[str]:
    return {o.removeprefix("--") for p in scripts.start.params for o in p.opts}


def started(service: Object) -> Iterator[str]:
    """`ray start` knows what it is told, and no replica lands on the head."""
    cluster = service["spec"]["rayClusterConfig"]
    head = cluster["headGroupSpec"]["rayStartParams"]
    if head.get("num-cpus") != "0" or head.get("dashboard-host") != "0.0.0.0":
        yield "the head takes replicas, or cannot be asked"
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        if unknown := set(group["rayStartParams"]) - _start_parameters():
            yield f"ray start does not know {sorted(unknown)}"
        if "object-store-memory" not in group["rayStartParams"]:
            yield "an object store of unknown size"


def offered(service: Object, settings: Settings) -> Iterator[str]:
    """Each deployment's least and most replicas have room in one group, and each group is asked for."""
    groups = {g["groupName"]: g for g in service["spec"]["rayClusterConfig"]["workerGroupSpecs"]}
    needed: dict[str, list[tuple[ServeSettings, dict[str, float]]]] = {name: [] for name in groups}
    for deployment, serve, asked in _asked(settings):
        homes = [n for n, g in groups.items() if all(asked[r] <= float(g["resources"].get(r, 0)) for r in asked)]
        if len(homes) != 1:
            yield f"{deployment} fits {homes or 'nowhere'}, not one group"
        else:
            needed[homes[0]].append((serve, asked))
    for name, group in groups.items():
        for resource, amount in group["resources"].items():
            least = sum(s.min_replicas * a.get(resource, 0) for s, a in needed[name])
            most = sum(s.max_replicas * a.get(resource, 0) for s, a in needed[name])
            if not most:
                yield f"nobody asks for {resource} of group {name}"
            if least > group["minReplicas"] * float(amount) or most > group["maxReplicas"] * float(amount):
                yield f"group {name} has too little {resource}: {least} to {most} are asked for"


def _asked(settings: Settings) -> Iterator[tuple[str, ServeSettings, dict[str, float]]]:
    """What one replica of each deployment takes of a node."""
    plain = {
        "detector": settings.detector.serve,
        "embedder": settings.embedder.serve,
        "ingress": settings.ingress.serve,
    }
    for name, serve in plain.items():
        yield name, serve, _nonzero({"CPU": serve.num_cpus, "GPU": serve.num_gpus, **serve.resources})
    mllm = settings.mllm
    asked = {"CPU": mllm.serve.num_cpus, **mllm.serve.resources}
    if mllm.accelerator_type:
        gpus = mllm.engine.get("tensor_parallel_size", 1)
        asked |= {"GPU": gpus, f"accelerator_type:{mllm.accelerator_type}": 0.001}
    yield "mllm", mllm.serve, _nonzero(asked)


def _nonzero(asked: dict[str, float]) -> dict[str, float]:
    return {resource: amount for resource, amount in asked.items() if amount}


def in_time(objects: Sequence[Object], settings: Settings) -> Iterator[str]:
    """What is longer than what: the Pod's end, its drain, a replica's end, the longest request."""
    longest = settings.ingress.deadline_seconds
    replica = max(s.graceful_shutdown_seconds for s in (settings.ingress.serve, settings.mllm.serve))
    for worker in (w for w in workloads(objects) if w.is_ray_worker):
        if not worker.spec.get("terminationGracePeriodSeconds", 30) > _drain_seconds(worker) > replica > longest:
            yield f"{worker.name} ends before its streams do"
    (service,) = of_kind(list(objects), "RayService")
    if not service["spec"].get("rayClusterDeletionDelaySeconds", 60) > longest:
        yield "an old cluster goes before its streams do"
    for route in of_kind(list(objects), "HTTPRoute"):
        for rule in route["spec"]["rules"]:
            for timeout in ("request", "backendRequest"):
                if not int(rule.get("timeouts", {}).get(timeout, "0s").removesuffix("s")) > longest:
                    yield f"{name_of(route)} cuts requests before their time"


def found(objects: Sequence[Object], settings: Settings) -> Iterator[str]:
    """What the profile reads under /models is mounted wherever models and gateways run."""
    reads = [e.calibration or e.model for e in settings.embedders.values()]
    if any(place.startswith("/models/") for place in [settings.detector.weights, settings.mllm.source, *reads]):
        for worker in (w for w in workloads(objects) if w.is_ray_worker):
            if not any(m["mountPath"] == "/models" for c in worker.containers for m in c.get("volumeMounts", ())):
                yield f"{worker.name} does not find /models"


def _drain_seconds(worker: Workload) -> int:
    command = worker.spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", [])
    return int(command[-1]) if command[:1] == ["/app/scripts/image/drain"] else 0
