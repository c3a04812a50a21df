"""How each Pod has to be: without privileges, bounded, looked after, and not all in one place."""

from collections.abc import Iterator, Sequence

from tests.k8s.foreign import Pod, pods
from tests.k8s.rendered import Object, name_of, of_kind
from tests.k8s.workloads import Workload, selects, workloads

BOUNDED = {"cpu", "memory", "ephemeral-storage"}
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
NEEDS_THE_API = {"head"}  # Ray's autoscaler runs beside it
KNOWN_AMOUNTS = BOUNDED | {"storage", "nvidia.com/gpu"}
NODE_LABELS = {"nvidia.com/gpu.product"}
UNPRIVILEGED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def violations(objects: Sequence[Object]) -> Iterator[str]:
    """All of this module's."""
    for workload in workloads(objects):
        for rule in (restricted, bounded, probed, placed, mounted):
            for line in rule(workload):
                yield f"{workload.namespace}/{workload.name}: {line}"
    yield from disruption(objects)
    yield from namespaces(objects)
    yield from amounts(list(objects))


def restricted(workload: Workload) -> Iterator[str]:
    """Pod Security's `restricted`, and a root file system that nothing writes to."""
    pod = workload.spec.get("securityContext", {})
    if not pod.get("runAsNonRoot") or not pod.get("runAsUser"):
        yield "the Pod may run as root"
    if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "no seccomp profile"
    if workload.spec.get("automountServiceAccountToken", True) != (workload.name in NEEDS_THE_API):
        yield "has a token of the API server, or lacks it"
    if workload.spec.get("enableServiceLinks", True):
        yield "knows of all Services by its environment"
    for forbidden in ("hostNetwork", "hostPID", "hostIPC", "hostUsers"):
        if workload.spec.get(forbidden):
            yield f"{forbidden}"
    for container in workload.containers:
        context = container.get("securityContext", {})
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{container['name']} may gain privileges"
        if context.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{container['name']} keeps capabilities"
        if not context.get("readOnlyRootFilesystem"):
            yield f"{container['name']} may write to its image"


def bounded(workload: Workload) -> Iterator[str]:
    """Requests and limits of what a node can run out of, and images that stay what they are."""
    for container in workload.containers:
        requests, limits = (container.get("resources", {}).get(k, {}) for k in ("requests", "limits"))
        if not set(requests) >= BOUNDED or set(requests) != set(limits):
            yield f"{container['name']} lacks requests or limits"
        if requests.get("nvidia.com/gpu") != limits.get("nvidia.com/gpu"):
            yield f"{container['name']} asks for another number of GPUs than it may use"
        tag = container["image"].rpartition(":")[2]
        if tag in {container["image"], "latest", ""}:
            yield f"{container['name']} has no pinned image"
    for volume in workload.spec.get("volumes", ()):
        if "hostPath" in volume:
            yield f"{volume['name']} is the node's own file system"


def probed(workload: Workload) -> Iterator[str]:
    """Started, ready and alive are asked for, at ports that are there."""
    for container in workload.containers:
        if container["name"] == "autoscaler":  # its options have no probes
            continue
        for probe in PROBES:
            if probe not in container:
                yield f"{container['name']} has no {probe}"
                continue
            asked = container[probe].get("httpGet") or container[probe].get("tcpSocket") or {}
            if isinstance(asked.get("port"), str) and asked["port"] not in workload.ports:
                yield f"{container['name']}'s {probe} asks at a port that is not there: {asked['port']}"


def placed(workload: Workload) -> Iterator[str]:
    """Before others where nodes run short, and apart from each other."""
    if not workload.spec.get("priorityClassName"):
        yield "no priority"
    spread = workload.spec.get("topologySpreadConstraints", [])
    if workload.replicas > 1 and not spread:
        yield "all may stand on one node"
    if not all(selects(s.get("labelSelector"), workload.labels) for s in spread):
        yield "spreads others than itself"
    if not all(s["topologyKey"] in {"kubernetes.io/hostname", "topology.kubernetes.io/zone"} for s in spread):
        yield "spreads over a label that no node has"
    if not workload.spec.get("nodeSelector", {}).keys() <= NODE_LABELS:
        yield "wants nodes that nobody labels so"


def mounted(workload: Workload) -> Iterator[str]:
    """What is mounted is there, and what is there is mounted."""
    there = {v["name"] for v in workload.spec.get("volumes", ())}
    used = {m["name"] for c in workload.containers for m in c.get("volumeMounts", ())}
    if not there <= used:
        yield f"volumes that nothing mounts: {sorted(there - used)}"
    if workload.group is not None and not used <= there:
        yield f"mounts without a volume: {sorted(used - there)}"


def disruption(objects: Sequence[Object]) -> Iterator[str]:
    """Each Pod has one budget, and each budget Pods."""
    budgets = of_kind(list(objects), "PodDisruptionBudget")
    for workload in workloads(objects):
        mine = [b for b in budgets if _covers(b, workload)]
        if len(mine) != 1:
            yield f"{workload.namespace}/{workload.name} has {len(mine)} budgets"
        elif workload.replicas <= mine[0]["spec"].get("minAvailable", -1):
            yield f"{workload.namespace}/{workload.name} can never be moved"
        elif workload.replicas > 1 and mine[0]["spec"].get("minAvailable") == 0:
            yield f"{workload.namespace}/{workload.name} may be gone at once"
    for budget in budgets:
        if not any(_covers(budget, pod) for pod in pods(objects)):
            yield f"{name_of(budget)} covers nothing"


def _covers(budget: Object, pod: Workload | Pod) -> bool:
    same = budget["metadata"].get("namespace") == pod.namespace
    return same and selects(budget["spec"].get("selector"), pod.labels)


def namespaces(objects: Sequence[Object]) -> Iterator[str]:
    """Our own Pods are held to `restricted`; those of Milvus' operator are told where they are not."""
    for namespace in of_kind(list(objects), "Namespace"):
        labels = namespace["metadata"].get("labels", {})
        ours = any(w.namespace == namespace["metadata"]["name"] for w in workloads(objects))
        levels = {mode: labels.get(f"pod-security.kubernetes.io/{mode}") for mode in ("enforce", "audit", "warn")}
        if levels != {"enforce": "restricted" if ours else "baseline", "audit": "restricted", "warn": "restricted"}:
            yield f"Namespace {namespace['metadata']['name']} enforces {levels}"
    for milvus in of_kind(list(objects), "Milvus"):
        components = milvus["spec"]["components"]
        if components["securityContext"] != UNPRIVILEGED:
            yield "Milvus may gain privileges"
        spread = components["topologySpreadConstraints"]
        if not all(selects(s["labelSelector"], components["podLabels"]) for s in spread):
            yield "Milvus spreads others than itself"


def amounts(thing: object) -> Iterator[str]:
    """Requests and limits, wherever they stand, are of things that nodes have."""
    if isinstance(thing, dict):
        for kind in ("requests", "limits"):
            if isinstance(thing.get(kind), dict) and not thing[kind].keys() <= KNOWN_AMOUNTS:
                yield f"{kind} of what no node has: {sorted(thing[kind])}"
        for value in thing.values():
            yield from amounts(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from amounts(value)
