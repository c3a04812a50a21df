"""What the load test knows of its owners, and what it finds wrong with answers."""

import random
from collections import Counter

import pytest

from loadtest.load.owners import Crowd, Held, Owner, Snapshot, violations
from rap_serve.cli.wire import EvidenceJson


def owner(tag: str = "t1u1") -> Owner:
    """One with two concepts and a deleted one."""
    found = Owner(tag, "user-1", "key", 0)
    for number in (1, 2, 3):
        name = found.next_name()
        found.held[name] = Held(f"id-{number}", name, number, 5, "")
    found.forget(f"{tag}-3")
    return found


def evidence(name: str, concept_id: str, version: int = 5) -> EvidenceJson:
    """As an answer says it."""
    return EvidenceJson(
        concept_id=concept_id,
        name=name,
        version=version,
        source="region",
        box_xyxy=None,
        similarity=None,
        confidence=None,
        shared_by=None,
    )


def test_right_answers_pass() -> None:
    """Own concepts, at the acknowledged version or a later one, and one whose enrolment is not answered yet."""
    mine = owner()
    items = [evidence("t1u1-1", "id-1"), evidence("t1u1-2", "id-2", 6), evidence("t1u1-4", "id-4", 1)]
    assert violations(mine, mine.snapshot(), items, "This is <t1u1-1> beside <t1u1-2>.") == []


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        (evidence("t1u11-1", "id-9"), "foreign evidence"),
        (evidence("t1u1-1", "id-2"), "foreign evidence"),
        (evidence("t1u1-1", "id-1", 4), "stale version in evidence"),
        (evidence("t1u1-3", "id-3"), "deleted concept in evidence"),
    ],
)
def test_planted_violations_are_found(item: EvidenceJson, wrong: str) -> None:
    """Another owner's concept, another id under the name, a version of before, a deleted thing."""
    mine = owner()
    assert violations(mine, mine.snapshot(), [item]) == [wrong]


def test_foreign_names_in_the_answers_text_are_found() -> None:
    """Even where the evidence is empty."""
    assert violations(owner(), Snapshot({}, frozenset()), [], "It is <t2u1-1>.") == ["foreign name in answer"]


def test_what_was_sent_before_a_deletion_may_still_name_the_concept() -> None:
    """The snapshot counts, not what has happened since."""
    mine = owner()
    sent = mine.snapshot()
    mine.forget("t1u1-1")
    assert violations(mine, sent, [evidence("t1u1-1", "id-1")]) == []


def test_busy_tenants_and_users_come_first() -> None:
    """By Zipf: each tenant and user more often than the next, all of them at times."""
    tenants = [[Owner(f"t{t}u{u}", f"u{u}", "key", 0) for u in range(3)] for t in range(3)]
    crowd, rng = Crowd(tenants), random.Random(0)
    counted = Counter(crowd.pick(rng).tag for _ in range(20_000))
    by_tenant = [sum(counted[f"t{t}u{u}"] for u in range(3)) for t in range(3)]
    assert by_tenant == sorted(by_tenant, reverse=True)
    assert by_tenant[0] / by_tenant[1] == pytest.approx(2**1.1, rel=0.1)
    assert len(counted) == 9 and counted["t0u0"] > counted["t0u1"] > counted["t0u2"]
