"""What is called by a name is there: Services, ports, ConfigMaps, Secrets, claims, priorities, Gateways."""

import re
from collections.abc import Iterator, Sequence

from tests.k8s.foreign import Pod, pods
from tests.k8s.rendered import Object, name_of, of_kind
from tests.k8s.workloads import Workload, selects, workloads

PART_OF = "app.kubernetes.io/part-of"
DASHBOARD = "grafana_dashboard"
SECRETS_BY_HAND = {"rap-settings", "ray-token", "gcs-redis", "redis", "postgres"}  # scripts/k8s_secrets


def violations(objects: Sequence[Object]) -> Iterator[str]:
    """All of this module's."""
    yield from labelled(objects)
    yield from services(objects)
    yield from routes(objects)
    yield from monitors(objects)
    yield from orphans(objects)
    secrets = set(SECRETS_BY_HAND) if not of_kind(list(objects), "ExternalSecret") else _targets(objects)
    for workload in workloads(objects):
        for line in _lacking(workload, objects, secrets):
            yield f"{workload.namespace}/{workload.name}: {line}"


def labelled(objects: Sequence[Object]) -> Iterator[str]:
    """Everything says what it belongs to."""
    for thing in objects:
        if PART_OF not in thing["metadata"].get("labels", {}):
            yield f"{name_of(thing)} is not labelled"


def services(objects: Sequence[Object]) -> Iterator[str]:
    """Each Service has Pods, with the ports that it names; each StatefulSet has its Service, and selects itself."""
    known = {(s["metadata"].get("namespace"), s["metadata"]["name"]) for s in of_kind(list(objects), "Service")}
    for service in of_kind(list(objects), "Service"):
        behind = [p for p in pods(objects) if _serves(service, p)]
        if not behind:
            yield f"{name_of(service)} has no Pods"
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            if any(p.ports and target not in p.ports and target not in p.ports.values() for p in behind):
                yield f"{name_of(service)} names a port that its Pods lack: {target}"
    for thing in objects:
        if thing["kind"] in {"Deployment", "StatefulSet"}:
            labels = thing["spec"]["template"].get("metadata", {}).get("labels", {})
            if not thing["spec"]["selector"].get("matchLabels") or not selects(thing["spec"]["selector"], labels):
                yield f"{name_of(thing)} does not select its own Pods"
        if (
            thing["kind"] == "StatefulSet"
            and (thing["metadata"]["namespace"], thing["spec"]["serviceName"]) not in known
        ):
            yield f"{name_of(thing)} has no Service"


def routes(objects: Sequence[Object]) -> Iterator[str]:
    """Each route has its Gateway, its listener and its Service."""
    gateways = {g["metadata"]["name"]: g for g in of_kind(list(objects), "Gateway")}
    ports = {s["metadata"]["name"]: {p["port"] for p in s["spec"]["ports"]} for s in of_kind(list(objects), "Service")}
    for route in of_kind(list(objects), "HTTPRoute"):
        for parent in route["spec"].get("parentRefs", ()):
            listeners = gateways.get(parent["name"], {"spec": {"listeners": []}})["spec"]["listeners"]
            if parent.get("sectionName") not in {listener["name"] for listener in listeners}:
                yield f"{name_of(route)} has no listener {parent}"
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", ()):
                if backend["port"] not in ports.get(backend["name"], ()):
                    yield f"{name_of(route)} leads nowhere: {backend}"


def monitors(objects: Sequence[Object]) -> Iterator[str]:
    """Each PodMonitor finds Pods, at ports that one of them has."""
    for monitor in of_kind(list(objects), "PodMonitor"):
        selector = monitor["spec"]["selector"]
        seen = [w for w in workloads(objects) if selector.get("matchLabels") and selects(selector, w.labels)]
        if not seen:
            yield f"{name_of(monitor)} sees no Pods"
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            if not any(endpoint["port"] in w.ports for w in seen):
                yield f"{name_of(monitor)} asks at a port that no Pod has: {endpoint['port']}"


def is_dashboard(thing: Object) -> bool:
    """Whether Grafana takes it."""
    return thing["kind"] == "ConfigMap" and DASHBOARD in thing["metadata"].get("labels", {})


def orphans(objects: Sequence[Object]) -> Iterator[str]:
    """Each ConfigMap is read by a Pod, or by Grafana."""
    read = {s["configMapRef"]["name"] for w in workloads(objects) for s in _sources(w) if "configMapRef" in s}
    read |= {v["configMap"].get("name") for w in workloads(objects) for v in _volumes(w) if "configMap" in v}
    for thing in of_kind(list(objects), "ConfigMap"):
        if thing["metadata"]["name"] not in read and not is_dashboard(thing):
            yield f"{name_of(thing)} is read by nobody"


def _sources(workload: Workload) -> list[Object]:
    return [source for container in workload.containers for source in container.get("envFrom", ())]


def _volumes(workload: Workload) -> list[Object]:
    return list(workload.spec.get("volumes", ()))


def _lacking(workload: Workload, objects: Sequence[Object], secrets: set[str]) -> Iterator[str]:
    maps = {m["metadata"]["name"]: m for m in of_kind(list(objects), "ConfigMap")}
    claims = {c["metadata"]["name"] for c in of_kind(list(objects), "PersistentVolumeClaim")}
    priorities = {p["metadata"]["name"] for p in of_kind(list(objects), "PriorityClass")}
    if workload.spec.get("priorityClassName") not in priorities:
        yield f"no PriorityClass {workload.spec.get('priorityClassName')}"
    for volume in workload.spec.get("volumes", ()):
        if "configMap" in volume:
            held = maps.get(volume["configMap"].get("name"), {}).get("data", {})
            wanted = {i["key"] for i in volume["configMap"].get("items", ())}
            wanted |= {m["subPath"] for m in _mounts(workload, volume["name"]) if "subPath" in m}
            if not held or not wanted <= set(held):
                yield f"lacks files of a ConfigMap: {sorted(wanted - set(held))}"
            called = {*_commands(workload, volume["name"]), *_called(held)}
            yield from (f"{c} is not in the ConfigMap" for c in called if c not in held)
        if "persistentVolumeClaim" in volume and volume["persistentVolumeClaim"]["claimName"] not in claims:
            yield f"no PersistentVolumeClaim {volume['persistentVolumeClaim']['claimName']}"
    for container in workload.containers:
        for source in container.get("envFrom", ()):
            if "configMapRef" in source and source["configMapRef"]["name"] not in maps:
                yield f"no ConfigMap {source['configMapRef']['name']}"
            if "secretRef" in source and source["secretRef"]["name"] not in secrets:
                yield f"no Secret {source['secretRef']['name']}"
        for variable in container.get("env", ()):
            reference = variable.get("valueFrom", {}).get("secretKeyRef")
            if reference and reference["name"] not in secrets:
                yield f"no Secret {reference['name']}"


def _mounts(workload: Workload, volume: str) -> Iterator[Object]:
    yield from (m for c in workload.containers for m in c.get("volumeMounts", ()) if m["name"] == volume)


def _commands(workload: Workload, volume: str) -> Iterator[str]:
    """Files of ``volume`` that containers start with."""
    for mount in _mounts(workload, volume):
        for container in workload.containers:
            for word in [*container.get("command", ()), *container.get("args", ())]:
                if "subPath" not in mount and word.startswith(f"{mount['mountPath']}/"):
                    yield word.removeprefix(f"{mount['mountPath']}/")


def _called(scripts: dict[str, str]) -> set[str]:
    """Files beside them that ``scripts`` call."""
    return {name for text in scripts.values() for name in re.findall(r'\$\(dirname "\$0"\)/([\w-]+)', text)}


def _targets(objects: Sequence[Object]) -> set[str]:
    return {e["spec"]["target"]["name"] for e in of_kind(list(objects), "ExternalSecret")}


def _serves(service: Object, pod: Pod) -> bool:
    selector = service["spec"].get("selector")
    same = service["metadata"].get("namespace") == pod.namespace
    return bool(selector) and same and selects({"matchLabels": selector}, pod.labels)
