"""Dashboards as Grafana reads them.

python -m rayrank.monitor.grafana k8s/monitoring/dashboards
"""

import json
import sys
from pathlib import Path
from typing import Any

from rayrank.monitor.dashboards import DASHBOARDS
from rayrank.monitor.panels import Dashboard, Panel, Variable

SCHEMA = 39
"""Of a dashboard, as Grafana 10 and later read it; older ones are brought up to date there."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, ACROSS = 8, 7, 3
"""Of a panel, in columns (of 24) and rows of Grafana's grid; panels beside each other."""
KINDS = {"lines": "timeseries", "points": "timeseries", "numbers": "stat"}
FINEST = "30s"
"""Between two points: a gauge that is set once is shown for 20 s."""


def to_grafana(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard's JSON model."""
    panels: list[dict[str, Any]] = []
    y = 0
    for title, of in dashboard.sections:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": 24, "x": 0, "y": y},
                "panels": [],
            }
        )
        y += 1
        for number, panel in enumerate(of):
            row, column = divmod(number, ACROSS)
            place = {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": y + row * HEIGHT}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_panel(panel)})
        y += HEIGHT * -(-len(of) // ACROSS)
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.says,
        "tags": ["rayrank"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "links": [_link()],
        "templating": {"list": [_source(), *map(_variable, dashboard.variables)]},
        "panels": panels,
    }


def to_text(dashboard: Dashboard) -> str:
    """As it is kept in a file."""
    return json.dumps(to_grafana(dashboard), indent=1) + "\n"


def _panel(panel: Panel) -> dict[str, Any]:
    now_and_then = panel.kind == "points"
    lines: dict[str, Any] = {
        "spanNulls": now_and_then,
        "showPoints": "always" if now_and_then else "auto",
    }
    options: dict[str, Any] = {"legend": {"displayMode": "list", "placement": "bottom"}}
    if panel.kind == "numbers":
        lines, options = {}, {"reduceOptions": {"calcs": ["lastNotNull"]}, "textMode": "auto"}
    needs = f" Empty without {panel.needs}." if panel.needs else ""
    return {
        "type": KINDS[panel.kind],
        "title": panel.title,
        "description": panel.says + needs,
        "datasource": SOURCE,
        "interval": FINEST,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": lines}, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + number),
                "datasource": SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
                "instant": panel.kind == "numbers",
                "range": panel.kind != "numbers",
            }
            for number, query in enumerate(panel.queries)
        ],
    }


def _source() -> dict[str, Any]:
    """Ray's dashboard chooses it by this name."""
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
    }


def _variable(variable: Variable) -> dict[str, Any]:
    asked = f"label_values({variable.series}, {variable.label})"
    return {
        "name": variable.name,
        "type": "query",
        "datasource": SOURCE,
        "definition": asked,
        "query": {"query": asked, "refId": "Variable"},
        "refresh": 2,  # whenever the time that is looked at changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # what lacks the label, too
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _link() -> dict[str, Any]:
    """To the other dashboards."""
    return {
        "type": "dashboards",
        "title": "rayrank",
        "tags": ["rayrank"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }


def main() -> None:
    """Write them all."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        path = folder / f"{dashboard.uid}.json"
        path.write_text(to_text(dashboard))
        print(path)


if __name__ == "__main__":
    main()
