"""Dashboards that Grafana can show, on metrics that exist."""

import importlib.util
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.monitoring.promtool import (
    DASHBOARDS,
    MONITORING,
    ROOT,
    dashboards,
    panel_expressions,
    promtool,
    rules,
    used_metrics,
)

DOCUMENTED = set(re.findall(r"^\| `(ray_\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
UNITS = {"s", "ms", "reqps", "percentunit", "short", "bytes"}


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each of them."""
    loaded: dict[str, Any] = json.loads(request.param.read_text())
    return loaded


def test_dashboards_have_names_of_their_own() -> None:
    """Grafana would let one replace another."""
    models = dashboards().values()
    assert len({m["uid"] for m in models}) == len({m["title"] for m in models}) == len(DASHBOARDS) == 3


def test_the_data_source_is_chosen_by_who_looks(model: dict[str, Any]) -> None:
    """No panel is bound to one installation's."""
    (variable,) = model["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")
    assert all(p["datasource"]["uid"] == "${datasource}" for p in model["panels"])


def test_every_panel_says_what_it_shows(model: dict[str, Any]) -> None:
    """Id, title, description, unit, and a legend for each line."""
    panels = model["panels"]
    assert len({p["id"] for p in panels}) == len({p["title"] for p in panels}) == len(panels)
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"] and all(t["expr"] and t["legendFormat"] for t in panel["targets"]), panel["title"]
        assert len({t["refId"] for t in panel["targets"]}) == len(panel["targets"])


def test_no_panel_covers_another(model: dict[str, Any]) -> None:
    """And none sticks out of the grid, 24 wide."""
    places = [p["gridPos"] for p in model["panels"]]
    assert all(p["x"] >= 0 and p["x"] + p["w"] <= 24 for p in places)
    for a, b in itertools.combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]


def test_the_files_are_what_the_script_makes() -> None:
    """Edit ``dashboards.py`` and run it."""
    spec = importlib.util.spec_from_file_location("dashboards", MONITORING / "dashboards.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert {name: script.dashboard(name) for name in script.DASHBOARDS} == dashboards()


def test_every_expression_is_promql(tmp_path: Path) -> None:
    """By promtool, as rules that would record what the panels show."""
    recorded = [{"record": f"panel:{n}", "expr": e} for n, e in enumerate(panel_expressions())]
    written = tmp_path / "panels.yaml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    checked = promtool("check", "rules", written)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_metric_is_documented_or_recorded() -> None:
    """What is documented is held against a scrape in ``tests/serve/test_metrics.py``."""
    assert used_metrics() <= DOCUMENTED
    recorded = {name for e in panel_expressions() for name in re.findall(r"\brap:\w+:\w+", e)}
    assert recorded <= rules("record").keys()
