"""What each panel of the dashboards shows of a Prometheus, now."""

import re
import time
from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from rich.table import Table

from rayrank.monitor.panels import Dashboard, Panel
from rayrank.monitor.prometheus import Line, Prometheus

BACK_S = 900.0
"""How far back is looked for what comes now and then."""


class Shown(NamedTuple):
    """Of a panel."""

    dashboard: str
    panel: Panel
    lines: dict[str, list[tuple[float, float]]]
    """Legend -> points, (Unix time, value) ascending, at least one."""


def filled(expr: str, every_s: float) -> str:
    """A query with what Grafana would put in, where everything is chosen and points are so far
    apart."""
    window, step = max(4 * every_s, 15), max(2 * every_s, 1)
    expr = expr.replace("$__rate_interval", f"{window:.0f}s").replace("$__interval", f"{step:.0f}s")
    return re.sub(r"\$\w+", ".*", expr)


def look(
    watching: Prometheus,
    dashboards: Sequence[Dashboard],
    every_s: float,
    back_s: float = BACK_S,
) -> list[Shown]:
    """What the panels show of the last seconds, `back_s`. every_s: between two scrapes."""
    end = time.time()
    found = []
    for dashboard in dashboards:
        for panel in dashboard.panels:
            lines: dict[str, list[tuple[float, float]]] = {}
            for query in panel.queries:
                expr = filled(query.expr, every_s)
                if panel.kind == "numbers":
                    answer = watching.now(expr)
                else:
                    step_s = max(2 * every_s, back_s / 1000)
                    answer = watching.between(expr, end - back_s, end, step_s)
                for line in answer:
                    points = [(at, value) for at, value in line.points if isfinite(value)]
                    if points:
                        lines[named(query.legend, line)] = points
            found.append(Shown(dashboard.title, panel, lines))
    return found


def named(legend: str, line: Line) -> str:
    """What a series is called."""
    return re.sub(r"{{(\w+)}}", lambda of: line.labels.get(of[1], ""), legend).strip(" ,")


def look_table(shown: Sequence[Shown]) -> Table:
    """A line per panel: how many series it shows, and one of them."""
    table = Table()
    table.add_column("panel")
    table.add_column("series", justify="right")
    table.add_column("the first one's last value")
    before = ""
    for dashboard, panel, lines in shown:
        if dashboard != before:
            table.add_section()
            table.add_row(f"[bold]{dashboard}[/]")
            before = dashboard
        if lines:
            name, points = next(iter(lines.items()))
            told = f"{name} {points[-1][1]:.4g}"
        else:
            told = f"nothing; needs {panel.needs}" if panel.needs else "nothing yet"
        table.add_row(panel.title, str(len(lines)), told)
    return table
