"""What is under ``k8s/base/monitoring``, as Python and promtool see it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
MONITORING = ROOT / "k8s" / "base" / "monitoring"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
INTERVAL = "5m"
"""What Grafana would put in the place of ``$__rate_interval``."""

_STRINGS = re.compile(r'"[^"]*"')
_METRIC = re.compile(r"\b(ray_\w+)")
_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs it; skips the test where it is not installed."""
    command = shutil.which("promtool")
    if command is None:
        pytest.skip("needs promtool (Debian package prometheus: make servers)")
    return subprocess.run([command, *map(str, arguments)], capture_output=True, text=True, check=False)


def rule_resource() -> dict[str, Any]:
    """The PrometheusRule."""
    loaded: dict[str, Any] = yaml.safe_load((MONITORING / "rules.yaml").read_text())
    return loaded


def groups() -> list[dict[str, Any]]:
    """Its groups, as a rule file of Prometheus' has them."""
    found: list[dict[str, Any]] = rule_resource()["spec"]["groups"]
    return found


def rules(kind: str) -> dict[str, dict[str, Any]]:
    """All rules of a kind, ``alert`` or ``record``, by name."""
    return {rule[kind]: rule for group in groups() for rule in group["rules"] if kind in rule}


def dashboards() -> dict[str, dict[str, Any]]:
    """Grafana's models by file name."""
    return {path.stem: json.loads(path.read_text()) for path in DASHBOARDS}


def panel_expressions() -> list[str]:
    """What the panels ask Prometheus."""
    panels = [panel for model in dashboards().values() for panel in model["panels"]]
    return [t["expr"].replace("$__rate_interval", INTERVAL) for panel in panels for t in panel["targets"]]


def used_metrics() -> set[str]:
    """Every metric that a panel or a rule names, histograms by their own name."""
    expressions = [*panel_expressions(), *(r["expr"] for g in groups() for r in g["rules"])]
    found = {name for e in expressions for name in _METRIC.findall(_STRINGS.sub("", e))}
    return {_HISTOGRAM.sub("", name) for name in found}
