"""A typo in any field of any manifest is found."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.k8s import schemas
from tests.k8s.flows import expected
from tests.k8s.rendered import OVERLAYS, Object, name_of, rendered
from tests.k8s.rules import names, network, pods, serving
from tests.k8s.rules.names import is_dashboard
from tests.k8s.schemas import CRDS

# Maps whose keys are free, and in which a typo is nobody's to find but the reader's of a log.
FREE = {"annotations"}
# Of Milvus' operator: passed on as they are to Milvus and to etcd's chart.
PASSED_ON = (("spec", "config"), ("spec", "dependencies", "etcd", "inCluster", "values"))

Path = tuple[str | int, ...]


@pytest.mark.skipif(not CRDS.is_dir(), reason="needs the CRDs in ../shared/crds, or RAP_CRDS")
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_typo_in_any_field_is_found(overlay: str) -> None:
    """By the schema of its kind or, where keys are free as in labels and selectors, by a rule that then breaks."""
    objects = rendered(overlay)
    tried, missed = 0, []
    for thing in objects:
        validator, name = schemas.validator(thing["apiVersion"], thing["kind"]), name_of(thing)
        for mapping, path, key in _fields(thing, ()):
            if _is_read_by_people(thing, path):
                continue
            tried += 1
            with _mistyped(mapping, key):
                if validator.is_valid(thing) and not _broken(objects, overlay):
                    missed.append(f"{name}: {'.'.join(map(str, (*path, key)))}")
    assert not missed
    assert tried > 800


def _fields(value: Any, path: Path) -> Iterator[tuple[Object, Path, str]]:
    """Every mapping within ``value``, where it stands, and each of its keys that is not free."""
    if isinstance(value, dict):
        for key in list(value):
            if not _is_free((*path, key)):
                yield value, path, key
                yield from _fields(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _fields(item, (*path, index))


def _is_free(path: Path) -> bool:
    inside = any(path[: len(p)] == p and len(path) > len(p) for p in PASSED_ON)
    return (len(path) > 1 and path[-2] in FREE) or (inside and "podLabels" not in path)


def _is_read_by_people(thing: Object, path: Path) -> bool:
    """What alerts say of themselves, and the names of dashboards."""
    if thing["kind"] == "PrometheusRule":
        return path[:1] == ("spec",) and path[-1:] == ("labels",)
    return is_dashboard(thing) and path == ("data",)


@contextmanager
def _mistyped(mapping: Object, key: str) -> Iterator[None]:
    """``key`` with a letter too many, its order kept, for as long as it is tried."""
    before = dict(mapping)
    mapping.clear()
    mapping.update({f"{k}z" if k == key else k: v for k, v in before.items()})
    try:
        yield
    finally:
        mapping.clear()
        mapping.update(before)


def _broken(objects: tuple[Object, ...], overlay: str) -> bool:
    """Whether a rule is; one that stumbles over what is missing has found it."""
    try:
        found = any(True for rules in (pods, names, network, serving) for _ in rules.violations(objects))
        return found or network.flows(objects) != expected(overlay)
    except (KeyError, ValueError, AttributeError, TypeError, IndexError):
        return True
