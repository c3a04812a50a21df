"""Who may speak to whom, in words: the table that the network policies have to come to, no more and no less."""

from tests.k8s.rules.network import ALL, Flow

PUBLIC_HTTPS = ("0.0.0.0/0 but private", "443")
RAY = {"dev": ("head", "ingress"), "prod": ("head", "ingress", "vision", "mllm")}
OURS = {
    "dev": {"rap-serve": (*RAY["dev"], "gcs-redis", "redis", "milvus", "postgres")},
    "prod": {
        "rap-serve": (*RAY["prod"], "gcs-redis", "redis", "redis-proxy", "edge", "rap-gateway"),
        "rap-milvus": ("milvus", "etcd"),
    },
}


def expected(overlay: str) -> set[Flow]:
    """(from, to, port) of everything that has to work."""
    return _names(overlay) | _ray(RAY[overlay]) | (_dev() if overlay == "dev" else _prod())


def _names(overlay: str) -> set[Flow]:
    """Everybody asks for names."""
    pods = [f"{namespace}/{pod}" for namespace, pods in OURS[overlay].items() for pod in pods]
    return {(pod, "kube-system/dns", port) for pod in pods for port in ("53", "53 UDP")}


def _ray(nodes: tuple[str, ...]) -> set[Flow]:
    """Ray's nodes speak to each other; Prometheus, the operator and the head's store to few ports."""
    inside = {(f"rap-serve/{a}", f"rap-serve/{b}", ALL) for a in nodes for b in nodes}
    scraped = {("monitoring/prometheus", f"rap-serve/{node}", "8080") for node in nodes}
    return (
        inside
        | scraped
        | {
            ("monitoring/prometheus", "rap-serve/head", "44217"),
            ("monitoring/prometheus", "rap-serve/head", "44227"),
            ("kuberay-system/kuberay", "rap-serve/head", "8265"),
            ("kuberay-system/kuberay", "rap-serve/head", "8000"),
            ("rap-serve/head", "rap-serve/gcs-redis", "6379"),
            ("rap-serve/head", "10.0.0.0/8", "443"),
            ("rap-serve/head", "10.0.0.0/8", "6443"),
            ("rap-serve/ingress", *PUBLIC_HTTPS),
        }
    )


def _dev() -> set[Flow]:
    return {
        ("rap-serve/ingress", "rap-serve/redis", "6379"),
        ("rap-serve/ingress", "rap-serve/milvus", "19530"),
        ("rap-serve/ingress", "rap-serve/postgres", "5432"),
    }


def _prod() -> set[Flow]:
    served = {("rap-serve/rap-gateway", f"rap-serve/{node}", "8000") for node in ("ingress", "vision", "mllm")}
    return served | {
        ("anybody", "rap-serve/edge", "443"),
        ("rap-serve/edge", "rap-serve/rap-gateway", "80"),
        ("rap-serve/edge", "istio-system/istiod", "15012"),
        ("rap-serve/rap-gateway", "istio-system/istiod", "15012"),
        ("rap-serve/ingress", "rap-serve/redis-proxy", "6379"),
        ("rap-serve/redis-proxy", "rap-serve/redis", "6379"),
        ("rap-serve/redis", "rap-serve/redis", "6379"),
        ("rap-serve/redis", "rap-serve/redis", "26379"),
        ("rap-serve/ingress", "rap-milvus/milvus", "19530"),
        ("rap-serve/ingress", "10.0.0.0/8", "5432"),
        ("rap-milvus/milvus", "rap-milvus/milvus", ALL),
        ("rap-milvus/milvus", "rap-milvus/etcd", ALL),
        ("rap-milvus/etcd", "rap-milvus/etcd", ALL),
        ("rap-milvus/etcd", "rap-milvus/milvus", ALL),
        ("rap-milvus/milvus", *PUBLIC_HTTPS),
        ("milvus-operator/milvus-operator", "rap-milvus/milvus", "19530"),
        ("milvus-operator/milvus-operator", "rap-milvus/milvus", "9091"),
        ("milvus-operator/milvus-operator", "rap-milvus/etcd", "2379"),
        ("monitoring/prometheus", "rap-milvus/milvus", "9091"),
    }
