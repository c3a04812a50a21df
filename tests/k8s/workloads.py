"""The Pods that rendered objects will make, wherever their templates stand."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.k8s.rendered import Object

RAY_SERVICE = "RayService"


@dataclass(frozen=True, slots=True)
class Workload:
    """One Pod template. ``replicas``: the least there are. ``group``: a Ray cluster's head or worker group."""

    name: str
    namespace: str
    replicas: int
    labels: dict[str, str]
    spec: Object
    group: Object | None = None
    cluster: Object | None = None

    @property
    def is_ray_worker(self) -> bool:
        """Whether replicas of Serve run here."""
        return self.group is not None and "groupName" in self.group

    @property
    def containers(self) -> list[Object]:
        """All that run, an autoscaler that KubeRay puts beside the head among them."""
        found: list[Object] = [*self.spec.get("initContainers", ()), *self.spec["containers"]]
        if self.cluster is not None and not self.is_ray_worker and self.cluster.get("enableInTreeAutoscaling"):
            found.append({"name": "autoscaler", "image": "as:the-head", **self.cluster.get("autoscalerOptions", {})})
        return found

    @property
    def ports(self) -> dict[str, int]:
        """Its containers' ports by name."""
        return {p.get("name", ""): p["containerPort"] for c in self.containers for p in c.get("ports", ())}


def workloads(objects: Iterable[Object]) -> Iterator[Workload]:
    """All of them; what operators make of objects of their own kinds is not seen here, but for RayService."""
    for thing in objects:
        namespace = thing["metadata"].get("namespace", "")
        if thing["kind"] == RAY_SERVICE:
            cluster = thing["spec"]["rayClusterConfig"]
            yield _of("head", namespace, 1, cluster["headGroupSpec"]["template"], cluster["headGroupSpec"], cluster)
            for group in cluster["workerGroupSpecs"]:
                yield _of(group["groupName"], namespace, group["minReplicas"], group["template"], group, cluster)
        elif thing["kind"] in {"Deployment", "StatefulSet", "DaemonSet"}:
            replicas = thing["spec"].get("replicas", 1)
            yield _of(thing["metadata"]["name"], namespace, replicas, thing["spec"]["template"])
        elif thing["kind"] in {"Job", "CronJob", "ReplicaSet", "Pod"}:
            raise NotImplementedError(f"Teach tests/k8s/workloads.py about {thing['kind']}.")


def _of(name: str, namespace: str, replicas: int, template: Object, *ray: Object) -> Workload:
    return Workload(name, namespace, replicas, template.get("metadata", {}).get("labels", {}), template["spec"], *ray)


def selects(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether a label selector picks ``labels``; an empty one picks all."""
    selector = selector or {}
    if any(labels.get(k) != v for k, v in selector.get("matchLabels", {}).items()):
        return False
    return all(_holds(e, labels) for e in selector.get("matchExpressions", ()))


def _holds(expression: Object, labels: dict[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise ValueError(expression["operator"])
