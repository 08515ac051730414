"""The dashboards in k8s/monitoring are those of the code, and can be read."""

import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from rayrank.monitor.dashboards import DASHBOARDS
from rayrank.monitor.grafana import to_grafana, to_text
from rayrank.monitor.look import filled
from rayrank.monitor.panels import Dashboard

from ..clusters import ROOT

FOLDER = ROOT / "k8s" / "monitoring" / "dashboards"
dashboards = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda of: of.uid)


@dashboards
def test_what_is_kept_is_what_the_code_says(dashboard: Dashboard) -> None:
    kept = (FOLDER / f"{dashboard.uid}.json").read_text()
    assert kept == to_text(dashboard), "run make dashboards"


def test_no_other_is_kept() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == {of.uid for of in DASHBOARDS}


@dashboards
def test_panels_have_a_place_each(dashboard: Dashboard) -> None:
    panels = to_grafana(dashboard)["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or apart, (one, other)


@dashboards
def test_queries_use_the_variables_that_are_there(dashboard: Dashboard) -> None:
    model = to_grafana(dashboard)
    there = {f"${of['name']}" for of in model["templating"]["list"]}
    asked = " ".join(query.expr for panel in dashboard.panels for query in panel.queries)
    grafanas = {"$__interval", "$__rate_interval"}
    assert set(re.findall(r"\$\w+", asked)) - grafanas <= there


@dashboards
def test_prometheus_understands_every_query(dashboard: Dashboard, tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    rules = [
        {"record": "asked", "expr": filled(query.expr, 10)}
        for panel in dashboard.panels
        for query in panel.queries
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    # Of two rules that record the same it says so, and goes on.
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=none", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout
