"""What happens to a cluster while it is used: each trial's load, and what is done in the middle of it."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from loadtest.cluster.cluster import Cluster
from loadtest.cluster.verdict import Outcome
from loadtest.load.scenario import Scenario, Stage, mixed

MLLM = "Mllm:simulated"
AWAY_SECONDS = 20.0
"""Until something that was killed is there again."""

Event = Callable[[str], None]
"""Notes that something happens now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """``disturb``: done after the share ``calm`` of the time; ``environment``: settings that it needs.

    What it must come to: ``least``, the share of requests that succeed; ``back_seconds``, after which latencies are as
    before; ``replicas``, the fewest, the most and the last of the MLLM.
    """

    scenario: Callable[[float, float], Scenario]
    disturb: Callable[[Cluster, Event], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    answer_tokens: int = 24
    calm: float = 0.4
    least: float = 1.0
    back_seconds: float | None = None
    replicas: tuple[int, int, int] | None = None

    def kept(self, found: Outcome, replicas: Mapping[str, tuple[int, int, int]]) -> bool:
        """Whether it came to that, and no answer was wrong. ``replicas``: of each deployment."""
        back = self.back_seconds is None or (found.back_seconds is not None and found.back_seconds <= self.back_seconds)
        scaled = self.replicas is None or replicas.get(MLLM) == self.replicas
        return found.succeeded >= self.least and not found.wrong and back and scaled


def _worker(cluster: Cluster, event: Event) -> None:
    """The node of a gateway dies; another one comes."""
    addresses = cluster.deployments().nodes["IngressDeployment"]
    node = next(node for node in cluster.workers if node.address in addresses)
    event("a worker node dies")
    cluster.kill(node)
    time.sleep(AWAY_SECONDS)
    event("a new one comes")
    cluster.start_worker(node)
    cluster.complete()
    event("all nodes are there")


def _head(cluster: Cluster, event: Event) -> None:
    """The head dies; another one takes over from what is in Redis."""
    event("the head dies")
    cluster.kill(cluster.head)
    time.sleep(AWAY_SECONDS)
    event("a new one comes")
    cluster.start_head()
    cluster.complete()
    event("it knows all nodes")


def _upgrade(cluster: Cluster, event: Event) -> None:
    """Another version of everything, one replica after another."""
    cluster.settled()
    event("a new version is rolled out")
    cluster.deploy()
    time.sleep(2)
    cluster.settled()
    event("it is all that runs")


def _everything(cluster: Cluster, event: Event) -> None:
    """One after another: a node dies, the head dies, a new version comes."""
    for disturb in (_worker, _head, _upgrade):
        disturb(cluster, event)


def _nothing(cluster: Cluster, event: Event) -> None:
    """The load itself does it."""


def _waves(seconds: float, clients: float) -> Scenario:
    """Few clients, many, few again; each asks about a thing by name, so that the MLLM has all the work."""
    few, calm, loud = (
        Stage("few", seconds / 6, 2),
        Stage("few again", seconds / 2, 2),
        Stage("many", seconds / 3, clients),
    )
    return Scenario(name="mixed", loop="closed", stages=(few, loud, calm), mix={"text question": 1.0})


TRIALS = {
    "worker": Trial(scenario=mixed, disturb=_worker, back_seconds=30),
    "head": Trial(scenario=mixed, disturb=_head, least=0.99),
    "upgrade": Trial(scenario=mixed, disturb=_upgrade),
    "everything": Trial(scenario=mixed, disturb=_everything, calm=0.2, least=0.99),
    "scale": Trial(
        scenario=_waves,
        disturb=_nothing,
        environment={"RAP_MLLM__SERVE__MIN_REPLICAS": "1"},
        answer_tokens=64,
        replicas=(1, 3, 1),
    ),
}
