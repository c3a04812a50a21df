"""Who may speak to whom: what the network policies let through, as a table that can be compared."""

from collections.abc import Iterator, Sequence

from tests.k8s.foreign import NAME, Pod, pods
from tests.k8s.rendered import Object, name_of, of_kind
from tests.k8s.workloads import selects, workloads

ALL = "*"
Flow = tuple[str, str, str]
Port = str


def violations(objects: Sequence[Object]) -> Iterator[str]:
    """Pods that no default-deny covers, and selectors that pick nothing."""
    everybody = pods(objects)
    policies = of_kind(list(objects), "NetworkPolicy")
    denied = {p["metadata"]["namespace"] for p in policies if _denies_all(p)}
    for namespace in {w.namespace for w in workloads(objects)} | {p["metadata"]["namespace"] for p in policies}:
        if namespace not in denied:
            yield f"{namespace} has no default-deny"
    for policy in policies:
        here = policy["metadata"]["namespace"]
        if not any(p.namespace == here and selects(policy["spec"]["podSelector"], p.labels) for p in everybody):
            yield f"{name_of(policy)} selects no Pod"
        for peer in (p for rule in _rules(policy) for p in rule.get("from", rule.get("to", ()))):
            if "ipBlock" not in peer and not any(_meant(peer, here, p) for p in everybody):
                yield f"{name_of(policy)} names a peer that is not there: {peer}"
        for name in (p["port"] for rule in _rules(policy) for p in rule.get("ports", ())):
            if isinstance(name, str) and not any(name in p.ports for p in everybody if p.namespace == here):
                yield f"{name_of(policy)} names a port that no Pod has: {name}"
        if _rules(policy) and _kinds(policy) != set(policy["spec"]["policyTypes"]):
            yield f"{name_of(policy)} names other policyTypes than it has rules for"


def flows(objects: Sequence[Object]) -> set[Flow]:
    """(from, to, port): what both ends let through; a port that is chosen at run time is ``*``."""
    policies = of_kind(list(objects), "NetworkPolicy")
    everybody = pods(objects)
    guarded = {p["metadata"]["namespace"] for p in policies}
    found: set[Flow] = set()
    for source in everybody:
        for target in everybody:
            if source.namespace in guarded or target.namespace in guarded:
                leaving = _ports(policies, source, target, "egress") if source.namespace in guarded else {ALL}
                entering = _ports(policies, target, source, "ingress") if target.namespace in guarded else {ALL}
                found |= {(str(source), str(target), port) for port in _both(leaving, entering)}
        found |= {(str(source), address, port) for address, port in _outside(policies, source, "egress")}
        found |= {(address, str(source), port) for address, port in _outside(policies, source, "ingress")}
    return found


def _ports(policies: list[Object], mine: Pod, other: Pod, direction: str) -> set[Port]:
    """Where ``mine`` may be spoken to by ``other``, or may speak to it."""
    target = mine if direction == "ingress" else other
    found: set[Port] = set()
    for rule in _rules_for(policies, mine, direction):
        peers = rule.get("from" if direction == "ingress" else "to", ())
        if any("ipBlock" not in p and _meant(p, mine.namespace, other) for p in peers):
            found |= set(_numbers(rule, target)) if "ports" in rule else {ALL}
    return found


def _outside(policies: list[Object], mine: Pod, direction: str) -> Iterator[tuple[str, Port]]:
    for rule in _rules_for(policies, mine, direction):
        peers = rule.get("from" if direction == "ingress" else "to")
        addresses = ["anybody"] if peers is None else [_address(p["ipBlock"]) for p in peers if "ipBlock" in p]
        for address in addresses:
            yield from ((address, port) for port in (_numbers(rule, mine) if "ports" in rule else [ALL]))


def _address(block: Object) -> str:
    return f"{block['cidr']} but private" if block.get("except") else str(block["cidr"])


def _rules_for(policies: list[Object], mine: Pod, direction: str) -> Iterator[Object]:
    for policy in policies:
        here = policy["metadata"]["namespace"] == mine.namespace
        if here and selects(policy["spec"]["podSelector"], mine.labels):
            yield from policy["spec"].get(direction, ())


def _both(leaving: set[Port], entering: set[Port]) -> set[Port]:
    if ALL in leaving:
        return entering
    return leaving if ALL in entering else leaving & entering


def _numbers(rule: Object, target: Pod) -> Iterator[Port]:
    """The ports of ``rule``; named ones are the target's, and let nothing through where it lacks them."""
    for port in rule["ports"]:
        if not isinstance(port["port"], str):
            yield f"{port['port']}{'' if port.get('protocol') == 'TCP' else ' ' + str(port.get('protocol'))}"
        elif port["port"] in target.ports:
            yield str(target.ports[port["port"]])


def _meant(peer: Object, here: str, pod: Pod) -> bool:
    if "namespaceSelector" in peer:
        inside = selects(peer["namespaceSelector"], {NAME: pod.namespace})
    else:
        inside = pod.namespace == here
    return inside and selects(peer.get("podSelector"), pod.labels)


def _rules(policy: Object) -> list[Object]:
    return [*policy["spec"].get("ingress", ()), *policy["spec"].get("egress", ())]


def _kinds(policy: Object) -> set[str]:
    return {k for k in ("Ingress", "Egress") if policy["spec"].get(k.lower())}


def _denies_all(policy: Object) -> bool:
    spec = policy["spec"]
    return spec["podSelector"] == {} and set(spec["policyTypes"]) == {"Ingress", "Egress"} and not _rules(policy)
