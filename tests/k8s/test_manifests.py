"""Each overlay, rendered, keeps the schemas and the rules."""

import kubernetes_validate
import pytest

from tests.k8s import schemas
from tests.k8s.flows import expected
from tests.k8s.rendered import OVERLAYS, name_of, rendered
from tests.k8s.rules import names, network, pods, serving
from tests.k8s.schemas import CRDS, KUBERNETES

RULES = (pods, names, network, serving)
OPERATORS_KINDS = pytest.mark.skipif(not CRDS.is_dir(), reason="needs the CRDs in ../shared/crds, or RAP_CRDS")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_knows_every_field(overlay: str) -> None:
    """As kubernetes-validate sees it, strictly."""
    own = [thing for thing in rendered(overlay) if schemas.is_of_kubernetes(thing)]
    assert len(own) > 20
    for thing in own:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
        assert not list(schemas.problems(thing)), name_of(thing)


@OPERATORS_KINDS
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operators_know_every_field(overlay: str) -> None:
    """By their CRDs, Pod templates inside them by Kubernetes' schema, too."""
    others = [thing for thing in rendered(overlay) if not schemas.is_of_kubernetes(thing)]
    assert {"RayService", "PodMonitor"} <= {thing["kind"] for thing in others}
    for thing in others:
        assert not list(schemas.problems(thing)), name_of(thing)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("rules", RULES, ids=lambda module: module.__name__.rsplit(".", 1)[1])
def test_every_rule_is_kept(overlay: str, rules: object) -> None:
    """Security, bounds, probes, placement, names, flows, room for the profile, time to finish."""
    assert not list(rules.violations(rendered(overlay)))  # type: ignore[attr-defined]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nobody_speaks_to_anybody_but_by_the_table(overlay: str) -> None:
    """What the network policies let through is what tests/k8s/flows.py says, to the port."""
    let_through, wanted = network.flows(rendered(overlay)), expected(overlay)
    assert let_through - wanted == set()
    assert wanted - let_through == set()
