"""The lab's page, and its pictures."""

import math
from collections.abc import Sequence
from xml.etree.ElementTree import Element

from rayrank.lab.folder import LabFolder
from rayrank.lab.look import (
    MORE,
    cell,
    compared_key,
    cost_cells,
    difference,
    estimate,
    is_of,
    models,
    names_of,
    quality_of,
    size_cells,
    tasks,
)
from rayrank.lab.plots import cost_plot, scaling_curve
from rayrank.lab.results import CostLine, Found, Line
from rayrank.metrics import BinaryQuality, NumberQuality
from rayrank.report.markup import Child, columns, fold, h, section, table, to_html
from rayrank.report.numbers import rate, signed
from rayrank.report.page import POLICY
from rayrank.report.picture import figures_picture
from rayrank.report.rows import difference_rows, quality_rows
from rayrank.report.style import CSS
from rayrank.storage import write_whole

Pictures = dict[str, list[Element]]
"""Kind -> its charts."""
NAMES = BinaryQuality.names | NumberQuality.names


def write_page(found: Found, folder: LabFolder) -> None:
    """Write the page, and its pictures beside it, each whole."""
    drawn = pictures(found)
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", http_equiv="Content-Security-Policy", content=POLICY),
        h("title", "Model lab"),
        h("style", CSS),
    )
    main = h(
        "main",
        _quality(found, drawn),
        _ablation(found, drawn),
        _scaling(found, drawn),
        _cost(found, drawn),
        _trials(found),
    )
    title = h("header", h("h1", "Model lab"), h("p", _about(found)))
    page = h("html", head, h("body", title, main), lang="en")
    write_whole(folder.report, to_html(page))
    for name, figures in drawn.items():
        write_whole(folder.picture(name), figures_picture(_TITLES[name], figures))


_TITLES = {
    "quality": "Quality, with 95 % intervals over users and seeds",
    "ablation": "What each part brings: a variant minus the whole, paired",
    "scaling": "Gain by compute",
    "cost": "Quality by cost",
}


def pictures(found: Found) -> Pictures:
    """The charts of each kind that has any."""
    kinds: Pictures = {
        "quality": [_quality_chart(found, *key) for key in tasks(found.quality)],
        "ablation": [_ablation_chart(found, *key) for key in tasks(found.ablation)],
        "scaling": [
            scaling_curve(curve, NAMES[compared_key(found.quality, curve.data, curve.task)])
            for curve in found.curves
        ],
        "cost": _cost_charts(found),
    }
    return {name: charts for name, charts in kinds.items() if charts}


def _about(found: Found) -> str:
    seeds = max(line.seeds for line in found.quality)
    of_changes = {x.seeds for x in found.ablation} | {x.seeds for x in found.scaling}
    fewer = [f", {found.subject}'s changes from {n}" for n in of_changes if n < seeds]
    return (
        f"Every model with settings chosen on validation days by the same number of trials, then "
        f"trained from {seeds} seeds and scored once on test days{''.join(fewer)}. Intervals are "
        f"95 %, over draws of users and over seeds; differences are paired: the same seed, the "
        f"same users."
    )


def _quality(found: Found, drawn: Pictures) -> Element:
    tables = [
        table(
            ["model", *names_of(found.quality, data, task).values(), *MORE.values()],
            [
                [model, *(cell(found.quality, data, model, task, m) for m in (*metrics, *MORE))]
                for model in models(found.quality, data)
            ],
            f"{data}, {task}: mean ± deviation over seeds",
            class_="wide",
        )
        for data, task in tasks(found.quality)
        for metrics in [names_of(found.quality, data, task)]
    ]
    return section(
        "Quality",
        "GAUC above chance; baselines draw nothing. The oracle is a simulated log's own "
        "probability: nothing can rank better.",
        columns(*drawn["quality"]),
        *tables,
        h("h3", "Paired differences"),
        columns(*(_difference_chart(found, *key) for key in tasks(found.quality))),
        fold("By length of history", *_slices(found)),
    )


def _slices(found: Found) -> list[Element]:
    shown = []
    for data, task in tasks(found.quality):
        metric = compared_key(found.quality, data, task)
        of = [x for x in found.quality if (x.data, x.task, x.metric) == (data, task, metric)]
        names = list(dict.fromkeys(x.slice for x in of))
        rows: list[list[Child]] = [
            [model, *(rate(_one(of, model, part)) for part in names)]
            for model in models(found.quality, data)
        ]
        shown.append(table(["model", *names], rows, f"{data}, {task}: {NAMES[metric]}"))
    return shown


def _one(lines: Sequence[Line], model: str, part: str) -> float:
    return next((x.mean for x in lines if (x.model, x.slice) == (model, part)), math.nan)


def _ablation(found: Found, drawn: Pictures) -> Element | None:
    if not found.ablation:
        return None
    tables = []
    for data, task in tasks(found.ablation):
        metrics = names_of(found.quality, data, task)
        rows: list[list[Child]] = [
            [
                variant,
                *(signed(difference(found.ablation, data, variant, task, m)) for m in metrics),
            ]
            for variant in models(found.ablation, data)
        ]
        caption = f"{data}, {task}: minus {found.subject}, paired"
        tables.append(table(["variant", *metrics.values()], rows, caption))
    return section(
        f"What of {found.subject} brings it",
        f"{found.subject} with its chosen settings and one thing changed. Left of 0: what was "
        f"taken away had brought something. A hollow dot: these users and seeds cannot tell.",
        columns(*drawn["ablation"]),
        *tables,
    )


def _scaling(found: Found, drawn: Pictures) -> Element | None:
    if not found.curves:
        return None
    rows: list[list[Child]] = [
        [*size_cells(x), signed(estimate(x.gain, x.low))] for x in found.scaling
    ]
    head = ["family", "size", "MFLOPs a row", "dense", "sparse", "mean", "gain"]
    return section(
        "What more compute brings",
        "Gain above a DLRM with its chosen settings, and gain = a FLOPs^b through the sizes of a "
        "family; the band holds 95 % of the laws of other users and seeds. By factors on both axes "
        "where all gains are above 0. FLOPs of a forward pass of a test row on average.",
        columns(*drawn["scaling"]),
        fold("All sizes", table(head, rows, "Sizes; the gain is paired", class_="wide")),
    )


def _cost(found: Found, drawn: Pictures) -> Element:
    rows: list[list[Child]] = [[*cost_cells(x)] for x in found.costs]
    head = [
        "model", "dense", "sparse", "MFLOPs a row", "a candidate", "train tokens/s",
        "ms, 100", "ms, 1,000 candidates",
    ]  # fmt: skip
    return section(
        "What it costs",
        "Parameters and FLOPs are counted exactly. Tokens per second are of one worker on one "
        "thread, beside what else ran; a request is timed alone, of a user of median length.",
        columns(*drawn["cost"]),
        table(head, rows, "Costs", class_="wide"),
    )


def _trials(found: Found) -> Element:
    rows: list[list[Child]] = [
        [f"{x.data}, {x.model}", x.changes, f"{x.worth:.4f}", "chosen" if x.chosen else ""]
        for x in found.trials
    ]
    words = "Settings are chosen by the mean of AUC and GAUC over tasks, on validation days."
    head = ["model", "settings", "worth", ""]
    return section(
        "How settings were chosen", words, fold("All trials", table(head, rows, "Trials"))
    )


def _quality_chart(found: Found, data: str, task: str) -> Element:
    rankers = {
        model: quality_of(found.quality, data, model, task) for model in models(found.quality, data)
    }
    return quality_rows(f"{data}, {task}", rankers, found.subject)


def _difference_chart(found: Found, data: str, task: str) -> Element:
    return _differences(found, found.quality, data, task)


def _ablation_chart(found: Found, data: str, task: str) -> Element:
    return _differences(found, found.ablation, data, task)


def _differences(found: Found, lines: Sequence[Line], data: str, task: str) -> Element:
    metric = compared_key(lines, data, task)
    apart = {
        model: difference(lines, data, model, task, metric)
        for model in models(lines, data)
        if model != found.subject
    }
    return difference_rows(f"{data}, {task}", NAMES[metric], apart, found.subject)


def _cost_charts(found: Found) -> list[Element]:
    charts = []
    for data, task in tasks(found.quality):
        costs: list[CostLine] = [x for x in found.costs if x.data == data]
        metric = compared_key(found.quality, data, task)
        of = [x for x in found.quality if is_of(x, data, task, metric)]
        if costs:
            charts.append(cost_plot(data, task, NAMES[metric], of, costs, found.subject))
    return charts
