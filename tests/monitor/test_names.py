"""Nothing shows or tells of a metric that the code does not export, nor by a label it lacks."""

import ast
import re
from pathlib import Path

import pytest
from rayrank.data import series as data_series
from rayrank.monitor.dashboards import DASHBOARDS, SERIES
from rayrank.monitor.panels import Dashboard
from rayrank.run import series as run_series
from rayrank.series import Series
from rayrank.serve import series as serve_series
from rayrank.train import series as train_series

from ..clusters import ROOT

RAYRANK = ROOT / "platform" / "rayrank"
ROOMS = {
    "data": data_series,
    "run": run_series,
    "serve": serve_series,
    "train": train_series,
}
EXPORTED = {name: series for series in SERIES for name in series.exported}
# What Ray and Prometheus add.
EVERYWHERE = {"ray_io_cluster", "instance", "le"}
OF_SERVE = {"application", "deployment", "replica"}
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
RULES = sorted((ROOT / "k8s" / "monitoring").glob("*.yaml"))
TABLE = ROOT / "docs" / "monitoring.md"


def unknown_names(text: str) -> set[str]:
    """Metrics of ours in a text that are none. A page may leave `ray_` out, and name a family."""
    found = re.findall(r"\b(?:ray_)?rayrank_\w+", text)
    known = {*EXPORTED, *map(str, SERIES)}
    return {name for name in found if f"ray_{name.removeprefix('ray_')}" not in known}


def unknown_labels(query: str) -> set[str]:
    """Labels by which a series is selected that has none such: `NAME{LABEL`."""
    found = set()
    for name, matchers in re.findall(r"\b(ray_rayrank_\w+)\{([^}]*)\}", query):
        of = EXPORTED[name]
        added = OF_SERVE if of in serve_series.SERIES else set()
        asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
        found |= {f"{name}{{{label}}}" for label in asked - {*of.labels, *EVERYWHERE, *added}}
    return found


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda of: of.uid)
def test_dashboards_ask_for_what_is_exported(dashboard: Dashboard) -> None:
    for panel in dashboard.panels:
        for query in panel.queries:
            assert not unknown_names(query.expr), panel.title
            assert not unknown_labels(query.expr), panel.title
            shown = set(re.findall(r"{{(\w+)}}", query.legend))
            grouped = {
                label.strip()
                for labels in re.findall(r"by \(([^)]*)\)", query.expr)
                for label in labels.split(",")
            }
            assert shown <= grouped, f"{panel.title}: {query.legend}"


@pytest.mark.parametrize("file", [*RULES, *PAGES], ids=lambda file: file.name)
def test_alerts_and_pages_name_what_is_exported(file: Path) -> None:
    text = file.read_text()
    assert not unknown_names(text)
    assert not unknown_labels(text)


def test_every_series_is_shown_and_told() -> None:
    shown = " ".join(
        query.expr for of in DASHBOARDS for panel in of.panels for query in panel.queries
    )
    told = TABLE.read_text()
    for series in SERIES:
        assert any(re.search(rf"\b{name}\b", shown) for name in series.exported), series
        labels = ", ".join(series.labels)
        line = f"| `{series.name}` | {labels} | {series.kind} | {series.says} |"
        assert line in told, f"docs/monitoring.md lacks: {line}"


def test_a_name_that_is_gone_is_found() -> None:
    assert unknown_names("rate(ray_rayrank_request_total[5m])") == {"ray_rayrank_request_total"}
    assert not unknown_names("`rayrank_requests_total`, ray_rayrank_request_ms_bucket")
    assert unknown_labels('ray_rayrank_requests_total{state="200"}')
    assert not unknown_labels('ray_rayrank_requests_total{status=~"5..", application!="check"}')


def made(file: Path) -> list[tuple[str, str]]:
    """(class, argument) of each of Ray's metrics that a file makes."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    classes = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        and node.module in ("ray.util.metrics", "ray.serve.metrics")
        for alias in node.names
    }
    return [
        (node.func.id, ", ".join(map(ast.unparse, node.args)))
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in classes
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_code_makes_metrics_of_its_series_alone(room: str) -> None:
    """Each of them, as what it says it is."""
    of = {name: value for name, value in vars(ROOMS[room]).items() if isinstance(value, Series)}
    assert set(of.values()) == set(ROOMS[room].SERIES)
    assert len({series.name for series in of.values()}) == len(of)
    tables = {*train_series.OF_TABLES.values(), *train_series.COUNTED_OF_TABLES.values()}
    used = set()
    for file in sorted((RAYRANK / room).glob("*.py")):
        for kind, argument in made(file):
            found = re.fullmatch(r"\*(?:series\.([A-Z_]+)|of)\.told", argument)
            assert found, f"{file.name}: {kind}({argument})"
            if found[1]:
                assert of[found[1]].kind == kind.lower(), f"{file.name}: {kind}({argument})"
                used.add(of[found[1]])
    assert used == set(of.values()) - tables


def test_no_other_room_makes_metrics() -> None:
    for file in sorted(RAYRANK.rglob("*.py")):
        if file.parent.name not in ROOMS:
            assert not made(file), file
