"""All Pods that a network policy or a Service may mean: ours, and those that operators make of our objects."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.k8s.rendered import Object, of_kind
from tests.k8s.workloads import workloads

NAME = "kubernetes.io/metadata.name"
GATEWAY = "gateway.networking.k8s.io/gateway-name"


@dataclass(frozen=True)
class Pod:
    """A kind of Pod. ``ports``: by name, empty where they are not known here."""

    namespace: str
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


ELSEWHERE = (
    Pod("kube-system", "dns", {"k8s-app": "kube-dns"}),
    Pod("kuberay-system", "kuberay"),
    Pod("monitoring", "prometheus"),
    Pod("istio-system", "istiod"),
    Pod("milvus-operator", "milvus-operator"),
)


def pods(objects: Sequence[Object]) -> list[Pod]:
    """Those of the overlay and those elsewhere."""
    ours = [Pod(w.namespace, w.name, w.labels, w.ports) for w in workloads(objects)]
    return [*ours, *_gateways(objects), *_milvus(objects), *ELSEWHERE]


def _gateways(objects: Sequence[Object]) -> list[Pod]:
    """The proxies of our Gateway, and of the one that KubeRay makes for an incremental upgrade."""
    made = [(g["metadata"]["namespace"], g["metadata"]["name"]) for g in of_kind(list(objects), "Gateway")]
    for service in of_kind(list(objects), "RayService"):
        if service["spec"].get("upgradeStrategy", {}).get("type") == "NewClusterWithIncrementalUpgrade":
            made.append((service["metadata"]["namespace"], f"{service['metadata']['name']}-gateway"))
    return [Pod(namespace, name, {GATEWAY: name}) for namespace, name in made]


def _milvus(objects: Sequence[Object]) -> list[Pod]:
    found = []
    for milvus in of_kind(list(objects), "Milvus"):
        namespace = milvus["metadata"]["namespace"]
        etcd = milvus["spec"]["dependencies"]["etcd"]["inCluster"]["values"]
        found.append(Pod(namespace, "milvus", milvus["spec"]["components"].get("podLabels", {})))
        found.append(Pod(namespace, "etcd", etcd.get("podLabels", {})))
    return found
