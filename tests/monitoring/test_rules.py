"""Rules that Prometheus takes, each alert seen to fire and to keep quiet, each with a page of its runbook."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.promtool import MONITORING, ROOT, groups, promtool, rule_resource, rules

CASES: dict[str, dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())
CRDS = Path(os.environ.get("RAP_CRDS", ROOT.parent / "shared" / "crds"))
CRD = CRDS / "monitoring.coreos.com_prometheusrules.yaml"
RUNBOOKS = ROOT / "docs" / "runbooks.md"


def test_every_alert_has_a_history_for_and_one_against_it() -> None:
    """And no history belongs to an alert that is gone."""
    assert CASES.keys() == rules("alert").keys()
    assert all(case.keys() == {"fires", "silent"} for case in CASES.values())


def test_rules_are_valid(tmp_path: Path) -> None:
    """To promtool, warnings included."""
    written = _rule_file(tmp_path)
    checked = promtool("check", "rules", "--lint-fatal", written)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("every", [60, 300])
def test_alerts_fire_when_they_should_and_keep_quiet_when_they_should(tmp_path: Path, every: int) -> None:
    """All histories of minutes, and of hours, run by promtool."""
    _rule_file(tmp_path)
    cases = [(alert, kind, case) for alert, both in CASES.items() for kind, case in both.items()]
    tests = [_history(alert, kind, case) for alert, kind, case in cases if case.get("every", 60) == every]
    written = tmp_path / "tests.yaml"
    file = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{every}s", "tests": tests}
    written.write_text(yaml.safe_dump(file))
    checked = promtool("test", "rules", written)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_says_what_to_do() -> None:
    """How urgent it is, what happened, and a section that has meaning, look and remedy, in this order."""
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS.read_text(), re.MULTILINE | re.DOTALL))
    for name, alert in rules("alert").items():
        assert alert["labels"]["severity"] in ("page", "ticket"), name
        assert alert["annotations"]["summary"].endswith("."), name
        assert alert["annotations"]["runbook_url"] == f"docs/runbooks.md#{name.lower()}"
        headings = re.findall(r"^\*\*(.+?)\*\*", sections[name], re.MULTILINE)
        assert headings == ["What it means.", "How to see it.", "What to do."], name
    assert sections.keys() - {"Common"} == rules("alert").keys()


def test_the_resource_is_what_the_operator_takes() -> None:
    """By the schema of its custom resource definition."""
    if not CRD.exists():
        pytest.skip(f"needs the schema {CRD.name} in ../shared/crds, or in RAP_CRDS")
    jsonschema = pytest.importorskip("jsonschema")
    version = yaml.safe_load(CRD.read_text())["spec"]["versions"][0]
    assert rule_resource()["apiVersion"].endswith("/" + version["name"])
    schema = _closed(version["schema"]["openAPIV3Schema"])  # its patterns are Go's: not to be checked as Python's
    assert [e.message for e in jsonschema.Draft202012Validator(schema).iter_errors(rule_resource())] == []


def test_what_is_applied_is_what_is_here() -> None:
    """The kustomization names every file."""
    listed = yaml.safe_load((MONITORING / "kustomization.yaml").read_text())
    files = {name for made in listed["configMapGenerator"] for name in made["files"]}
    assert files == {f"dashboards/{path.name}" for path in (MONITORING / "dashboards").glob("*.json")}
    assert listed["resources"] == ["rules.yaml"] and listed["generatorOptions"]["labels"] == {"grafana_dashboard": "1"}


def _rule_file(folder: Path) -> Path:
    written = folder / "rules.yaml"
    written.write_text(yaml.safe_dump({"groups": groups()}))
    return written


def _history(alert: str, kind: str, case: dict[str, Any]) -> dict[str, Any]:
    """One test of promtool's: whether the alert is among those that fire at that time."""
    firing = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) > bool 0'
    return {
        "name": f"{alert} {kind}",
        "interval": f"{case.get('every', 60)}s",
        "input_series": [{"series": name, "values": values} for name, values in case["series"].items()],
        "promql_expr_test": [
            {
                "expr": firing,
                "eval_time": case["at"],
                "exp_samples": [{"labels": "{}", "value": 1}] if kind == "fires" else [],
            }
        ],
    }


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with unknown fields refused, as a server that validates strictly does."""
    if schema.get("type") == "object" and "properties" in schema:
        properties = {name: _closed(part) for name, part in schema["properties"].items()}
        return {**schema, "properties": properties, "additionalProperties": False}
    if schema.get("type") == "array":
        return {**schema, "items": _closed(schema["items"])}
    return schema
