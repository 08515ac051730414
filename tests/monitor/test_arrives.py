"""What reaches Prometheus of a real cluster: every panel of the dashboards has something to show,
also of jobs that have ended by then."""

import io
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rayrank.data.config import SimulateConfig
from rayrank.errors import MonitorError
from rayrank.monitor.dashboards import DASHBOARDS, SERIES
from rayrank.monitor.look import Shown, look, look_table
from rayrank.monitor.picture import dashboard_picture
from rayrank.monitor.prometheus import prometheus
from rayrank.run.daily_outcome import read_decided
from rich.console import Console

from ..clusters import said_by, wait_until
from ..run.daily import FIRST, NAME, SECOND, config, run_in
from .scene import RULES, Days, Scene, damaged, watched_scene

EVERY_S = 1
ARRIVES_S = 30.0
"""How long it may take at most until everything is there."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("monitor")


@pytest.fixture(scope="module")
def scene(folder: Path) -> Iterator[Scene]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (apt-get install prometheus)")
    small = SimulateConfig(users=400, days=3, mean_length=30)
    days = Days(small, damaged=2, config=config(folder), wanted=f"{FIRST}..{SECOND}")
    with watched_scene(folder, days, EVERY_S) as watched:
        yield watched


def lacking(shown: list[Shown]) -> list[str]:
    """Panels that show nothing, and have no excuse."""
    return [
        f"{of.dashboard}: {of.panel.title}" for of in shown if not of.lines and not of.panel.needs
    ]


@pytest.fixture(scope="module")
def shown(scene: Scene) -> list[Shown]:
    """What the panels show, once all is there."""
    until = time.monotonic() + ARRIVES_S
    while True:
        for request in (scene.request, damaged(scene.request)):
            scene.post(request)
        found = look(scene.prometheus, DASHBOARDS, EVERY_S)
        if not lacking(found) or time.monotonic() > until:
            return found


def of_panel(shown: list[Shown], title: str) -> dict[str, float]:
    """Legend -> the last value."""
    (panel,) = (of for of in shown if of.panel.title == title)
    return {name: points[-1][1] for name, points in panel.lines.items()}


def test_every_panel_shows_something(shown: list[Shown]) -> None:
    assert lacking(shown) == []


def test_training_is_told_by_ranker_and_version(folder: Path, shown: list[Shown]) -> None:
    (first, _) = read_decided(run_in(folder), NAME).outcomes
    assert set(of_panel(shown, "Loss")) == {f"{NAME} {first.version}"}
    assert of_panel(shown, "Done")[f"{NAME} {first.version}"] == 1


def test_days_are_told_as_they_were_decided(folder: Path, shown: list[Shown]) -> None:
    first, second = read_decided(run_in(folder), NAME).outcomes
    assert of_panel(shown, "Days decided on") == {f"{NAME} accepted": 1, f"{NAME} refused": 1}
    assert of_panel(shown, "Refused by") == {f"{NAME} day": 1}
    assert second.before is not None
    auc = second.before["click"].metrics["auc"].value
    told = of_panel(shown, "AUC of the model before, on the day")
    assert told[f"{NAME} click"] == pytest.approx(auc)
    assert of_panel(shown, "What a day takes")[NAME] == pytest.approx(second.seconds)
    assert first.before is None


def test_a_build_is_told_as_its_stats_have_it(folder: Path, shown: list[Shown]) -> None:
    """The last one, of the second day: with the first before it, whose labels were not known."""
    made = of_panel(shown, "What it made")
    assert 0 < made["user rows"] < made["exposures"] < made["tokens"]
    assert set(of_panel(shown, "Seconds of a build")) == {"look", "read", "write"}
    assert set(of_panel(shown, "Bytes of a build")) == {"log", "rows"}
    assert set(of_panel(shown, "Labels not known")) == {"click", "order"}


def test_what_is_exported_is_what_its_series_says(scene: Scene, shown: list[Shown]) -> None:
    """Its kind, and the labels it is told with."""
    names = {str(series).removesuffix("_total"): series for series in SERIES}
    found = set()
    for family in scene.exported():
        series = names.get(family.name)
        if series is not None and family.samples:
            found.add(series)
            assert family.type == series.kind, family.name
            assert set(series.labels) <= set(family.samples[0].labels)
    assert found, "nothing of ours is exported any more"


def test_an_alert_fires_of_what_happened(scene: Scene) -> None:
    """The second day was refused, after the first was accepted."""
    wait_until(
        "the alert fires",
        lambda: scene.prometheus.alerts().get("RayrankDayRefused") == "firing",
        seconds=90,
    )


def test_it_can_be_drawn_and_read(shown: list[Shown]) -> None:
    for dashboard in DASHBOARDS:
        of = [one for one in shown if one.dashboard == dashboard.title]
        drawn = dashboard_picture(dashboard, of)
        for one in of:
            assert (f"{one.panel.title}" in drawn) == bool(one.lines)
    printed = io.StringIO()
    Console(width=200, file=printed).print(look_table(shown))
    told = printed.getvalue()
    assert "Waiting for the engine" in told
    assert "nothing; needs a GPU" in told


def test_make_monitor_says_what_every_panel_shows(
    scene: Scene, shown: list[Shown], folder: Path
) -> None:
    """In a process of its own, over the same exporters."""
    command = [sys.executable, "-m", "rayrank.monitor.local", "--once", "--every=2", "--port=0"]
    told = [f"--targets={scene.head.targets}", f"--folder={folder / 'other'}", "--rules"]
    said = said_by([*command, *told, *map(str, RULES)], scene.head.environment)
    assert "Answers by status" in said
    assert "alerts " in said
    targets = next(line for line in said.splitlines() if line.startswith("targets"))
    assert targets.count(":") == 3, "the node's, the autoscaler's, the dashboard's"
    assert " up" in targets


def test_a_machine_without_prometheus_is_told_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = pytest.raises(MonitorError, match="apt-get install prometheus")
    with told, prometheus(tmp_path / "targets.json", RULES, tmp_path / "kept"):
        raise AssertionError("it runs")


def test_rules_that_prometheus_refuses_are_told(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (apt-get install prometheus)")
    rules = tmp_path / "rules.yaml"
    rules.write_text("spec: {groups: [{name: a, rules: [{alert: A, expr: 'sum('}]}]}")
    told = pytest.raises(MonitorError, match=r"prometheus ended with 1; .*unclosed left paren")
    with told, prometheus(tmp_path / "targets.json", [rules], tmp_path / "kept"):
        raise AssertionError("it runs")
