"""What the simulated engines did so far, as their metrics tell."""

from collections import defaultdict

import httpx
from prometheus_client.parser import text_string_to_metric_families

from loadtest.simulated.engine import Work

PREFIX = "ray_rap_simulated_"


def work_by_replica(metrics_url: str) -> dict[str, Work]:
    """By replica; those that have answered nothing yet are left out."""
    text = httpx.get(metrics_url, timeout=30, trust_env=False).text
    works: defaultdict[str, Work] = defaultdict(Work)
    for family in text_string_to_metric_families(text):
        if family.name.startswith(PREFIX):
            field = family.name.removeprefix(PREFIX).removesuffix("_total")
            for sample in family.samples:
                setattr(works[sample.labels["replica"]], field, int(sample.value))
    return dict(works)
