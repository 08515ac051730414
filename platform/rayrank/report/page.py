"""The page: headline, then a section per question, each with how to read it."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from rayrank.report.charts import (
    calibration_plot,
    gauc_dots,
    histogram,
    loss_curve,
    validation_curve,
)
from rayrank.report.data import ORACLE, ReportData, bins_by_factors
from rayrank.report.markup import Child, fold, h, table, to_html
from rayrank.report.style import CSS
from rayrank.storage import whole_file

# The page asks nothing of any server, and the browser holds it to that.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
LOSS_ROWS = 12


def write_report(data: ReportData, path: Path) -> None:
    """Write the page to `path`, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as writing:
        writing.write_text(to_html(_page(data)), encoding="utf-8")


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
            _quality(data),
            _learning(data),
            _calibration(data),
            _lengths(data),
            _serving(data),
            _stages(data),
        ),
        h(
            "footer",
            h(
                "dl",
                *(
                    part
                    for name, version in data.versions.items()
                    for part in (h("dt", name), h("dd", version))
                ),
            ),
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
            (f"{task} GAUC", _rate(data.quality[data.served][task].gauc), f"{data.served}; {note}")
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
        n: q[task].gauc
        for n, q in data.quality.items()
        if n != data.served and math.isfinite(q[task].gauc)
    }
    if not others:
        return "nothing to compare with"
    best = max(others, key=lambda name: others[name])
    return f"next best {best} {others[best]:.4f}"


def _quality(data: ReportData) -> Element:
    head = ["ranker"]
    for task in data.tasks:
        head += [f"{task} AUC", f"{task} GAUC"]
        head += [f"{task} share"] if ORACLE in data.quality else []
    rows = []
    for name, quality in data.quality.items():
        row = [name]
        for task in data.tasks:
            share = data.margin_share(name, task)
            row += [
                _with_error(quality[task].auc, quality[task].auc_se),
                _with_error(quality[task].gauc, quality[task].gauc_se),
            ]
            row += [] if share is None else [f"{share:.1%}" if math.isfinite(share) else "–"]
        rows.append(row)
    numbers = table(head, rows, "On the test exposures, ± standard error where it was measured")
    body = numbers.find(".//tbody")
    if body is not None:
        body[0].set("class", "served")
    rankers = {n: q for n, q in data.quality.items() if n != ORACLE}
    charts = []
    for task in data.tasks:
        oracle = data.quality[ORACLE][task].gauc if ORACLE in data.quality else None
        charts.append(
            gauc_dots(task, {n: q[task] for n, q in rankers.items()}, oracle, data.served)
        )
    words = (
        "AUC: how often a positive exposure scores above a negative one, over all users. GAUC: "
        "the same within each user, weighted by exposures, users with one class left out; it is "
        "what a ranked list feels. Whiskers are 95% intervals."
    )
    if ORACLE in data.quality:
        words += (
            " The oracle scores with the probabilities that the simulator drew from: nothing can "
            "rank better, and a share is what a ranker reaches of the oracle's GAUC above 0.5."
        )
    return _section("Quality", words, _figures(*charts), numbers)


def _learning(data: ReportData) -> Element:
    chosen = np.unique(np.linspace(0, len(data.steps) - 1, LOSS_ROWS).round().astype(int))
    steps = [data.steps[k] for k in chosen]
    charts = [loss_curve(data.steps)]
    tables = [
        table(
            ["step", "tokens", "loss"],
            [[f"{s.step:,}", f"{s.tokens:,}", f"{s.loss:.4f}"] for s in steps],
            f"{len(steps)} of {len(data.steps):,} steps",
        )
    ]
    if data.epochs:
        charts.append(validation_curve(data.epochs))
        tables.append(
            table(
                ["step", *(f"{task} GAUC" for task in data.epochs[0].gauc)],
                [[f"{e.step:,}", *map(_rate, e.gauc.values())] for e in data.epochs],
                "On later data, after each epoch",
            )
        )
    return _section(
        "Learning",
        "The loss of each step is faint, its running mean strong. It should fall fast and then "
        "slowly; a jump is a fault in data or learning rate. GAUC on later data should rise with "
        "it: where it turns down while the loss still falls, the model overfits.",
        _figures(*charts),
        fold("The numbers", *tables),
    )


def _calibration(data: ReportData) -> Element:
    charts = [calibration_plot(task, bins) for task, bins in data.calibration.items()]
    tables = [
        table(
            ["mean prediction", "observed rate", "exposures"],
            [[_rate(b.predicted), _rate(b.observed), f"{b.exposures:,}"] for b in bins],
            task,
        )
        for task, bins in data.calibration.items()
    ]
    return _section(
        "Calibration",
        f"Test exposures sorted by what {data.served} predicts, in bins. On the dashed line a "
        "prediction of 0.2 comes true one time in five; points above it happen more often than "
        "predicted. Whiskers are 95% intervals of the observed rate.",
        _figures(*charts),
        fold("The numbers", *tables),
    )


def _lengths(data: ReportData) -> Element:
    facts, lengths = data.facts, data.facts.lengths
    summary = [
        ("exposures", f"{facts.exposures:,}"),
        ("user rows", f"{facts.user_rows:,}"),
        ("exposures per row", f"{facts.compression:.2f}"),
        ("tokens", f"{facts.tokens:,}"),
        ("tokens per row, mean", f"{lengths.mean:,.1f}"),
        ("median", f"{lengths.p50:,.0f}"),
        ("99th percentile", f"{lengths.p99:,.0f}"),
        ("longest", f"{lengths.max:,.0f}"),
    ]
    bins = [
        [f"{low:,.4g} to {high:,.4g}", f"{count:,}"]
        for low, high, count in zip(lengths.edges, lengths.edges[1:], lengths.counts, strict=False)
    ]
    return _section(
        "Sequences",
        "A user row is one user on one day: profile, history, today, candidates. The axis grows "
        "by factors. Batches are packed by cost, because the few rows in the tail hold so much "
        "of the work; padding all rows to the longest would waste nearly all of it.",
        _figures(
            histogram(
                "Tokens per user row",
                lengths.edges,
                lengths.counts,
                unit="tokens",
                what="rows",
                marks=_ascending({"median": lengths.p50, "mean": lengths.mean, "p99": lengths.p99}),
            ),
            table([], summary, "What the builder made of the log"),
        ),
        fold("The numbers", table(["tokens", "rows"], bins, "Rows by length")),
    )


def _serving(data: ReportData) -> Element:
    serving = data.serving
    latencies = np.array(serving.latencies_ms)
    edges, counts = bins_by_factors(latencies)
    facts = [
        ("requests", f"{serving.requests:,}"),
        ("median", f"{serving.p50_ms:.2f} ms"),
        ("99th percentile", f"{serving.p99_ms:.2f} ms"),
        ("fastest", f"{latencies.min():.2f} ms"),
        ("slowest", f"{latencies.max():.2f} ms"),
        ("largest difference", f"{serving.max_abs_diff:.2e}"),
    ]
    return _section(
        "Serving",
        "Test rows were sent over HTTP as requests, and each score compared with the trainer's. "
        "The difference is rounding: it should be below 1e-5 in 32 bits and below 0.006 in 16. "
        "A second hump or a far p99 means requests that queue.",
        _figures(
            histogram(
                "Latency over HTTP",
                edges,
                counts,
                unit="milliseconds",
                what="requests",
                marks={"median": serving.p50_ms, "p99": serving.p99_ms},
            ),
            table([], facts, "From the client's side"),
        ),
    )


def _stages(data: ReportData) -> Element:
    longest = max([*data.stages.values(), 1e-9])
    rows = [
        h(
            "tr",
            h("th", name, scope="row"),
            h("td", f"{seconds:.1f} s"),
            h("td", h("i", style=f"width:{100 * seconds / longest:.1f}%")),
        )
        for name, seconds in data.stages.items()
    ]
    total = h(
        "tr", h("th", "all", scope="row"), h("td", f"{sum(data.stages.values()):.1f} s"), h("td")
    )
    numbers = h(
        "table",
        h("caption", "Wall-clock seconds, in the order they ran"),
        h("tbody", *rows, total),
        class_="stages",
    )
    return _section(
        "Time", "Where the wall-clock time of the run went.", h("div", numbers, class_="table")
    )


def _section(title: str, how: str, *children: Child) -> Element:
    return h("section", h("h2", title), h("p", how, class_="how"), *children)


def _figures(*charts: Element) -> Element:
    return h("div", *charts, class_="figures")


def _ascending(marks: dict[str, float]) -> dict[str, float]:
    return dict(sorted(marks.items(), key=lambda mark: mark[1]))


def _rate(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"


def _with_error(value: float, error: float | None) -> str:
    if error is None or not math.isfinite(value):
        return _rate(value)
    return f"{value:.4f} ± {error:.4f}"
