"""The page: headline, then a section per question, each with how to read it."""

import math
from xml.etree.ElementTree import Element

from rayrank.report.data import ReportData
from rayrank.report.markup import h, to_html
from rayrank.report.numbers import rate
from rayrank.report.quality import quality, slices
from rayrank.report.sections import calibration, learning, making, sequences, serving, stages
from rayrank.report.style import CSS
from rayrank.storage import AnyPath, write_whole

# The page asks nothing of any server, and the browser holds it to that.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_report(data: ReportData, path: AnyPath) -> None:
    """Write the page to `path`, complete or not at all."""
    write_whole(path, to_html(_page(data)))


def _page(data: ReportData) -> Element:
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", http_equiv="Content-Security-Policy", content=POLICY),
        h("title", data.title),
        h("style", CSS),
    )
    when = h("time", f"{data.when:%Y-%m-%d %H:%M %Z}".strip(), datetime=data.when.isoformat())
    body = h(
        "body",
        h("header", h("h1", data.title), h("p", when, f" · {data.machine}"), _tiles(data)),
        h(
            "main",
            quality(data),
            slices(data) if data.slices else None,
            learning(data),
            calibration(data) if data.calibration else None,
            sequences(data),
            serving(data),
            stages(data),
            making(data),
        ),
    )
    return h("html", head, body, lang="en")


def _tiles(data: ReportData) -> Element:
    facts, serving = data.facts, data.serving
    tiles = []
    for task in data.tasks:
        share = data.margin_share(data.served, task)
        note = _best_other(data, task) if share is None else f"{share:.1%} of the oracle's margin"
        tiles.append(
            (
                f"{task} {data.compared_by(task)}",
                rate(data.quality[data.served][task].compared.value),
                f"{data.served}; {note}",
            )
        )
    tiles += [
        (
            "Exposures per row",
            f"{facts.compression:.1f}",
            f"{facts.exposures:,} exposures in {facts.user_rows:,} user rows",
        ),
        (
            "Latency, median",
            f"{serving.p50_ms:.1f} ms",
            f"99% within {serving.p99_ms:.1f} ms, {serving.requests:,} requests",
        ),
        ("Served against trained", f"{serving.max_abs_diff:.1e}", "largest difference of a score"),
        ("Start to end", f"{sum(data.stages.values()):.0f} s", f"{len(data.stages)} stages"),
    ]
    return h(
        "ul",
        *(
            h("li", h("span", name, class_="name"), h("b", value), h("span", note))
            for name, value, note in tiles
        ),
        class_="tiles",
    )


def _best_other(data: ReportData, task: str) -> str:
    others = {
        n: q[task].compared.value
        for n, q in data.quality.items()
        if n != data.served and math.isfinite(q[task].compared.value)
    }
    if not others:
        return "nothing to compare with"
    best = max(others, key=lambda name: others[name])
    return f"next best {best} {others[best]:.4f}"
