"""How good the rankers are: on all test exposures, against each other, on whom."""

import math
from xml.etree.ElementTree import Element

from rayrank.metrics import Estimate, NumberQuality
from rayrank.report.data import ORACLE, ReportData
from rayrank.report.markup import columns, h, section, table
from rayrank.report.numbers import rate, signed, told_apart, with_margin
from rayrank.report.rows import difference_rows, quality_rows, slice_rows


def quality(data: ReportData) -> Element:
    """Every ranker by itself, and then against the served one."""
    words = (
        "AUC: how often a positive exposure scores above a negative one, over all users. GAUC: "
        "the same within each user, weighted by exposures, users with one class left out; it is "
        "what a ranked list feels. Whiskers and ± are 95% intervals everywhere on this page: 1.96 "
        "standard errors, here from drawing users again and again."
    )
    if any(isinstance(quality, NumberQuality) for quality in data.quality[data.served].values()):
        words += (
            " Of a number, such as watch time: MAE, the mean absolute error in its own unit, and "
            "Spearman's rank correlation over all exposures."
        )
    if ORACLE in data.quality:
        words += (
            " The oracle, the orange line on every row, scores with the probabilities that the "
            "simulator drew from: nothing can rank better, and a share is what a ranker reaches of "
            "the oracle's GAUC above 0.5."
        )
    parts = [columns(*(_task_quality(data, task) for task in data.tasks))]
    if data.differences:
        parts += _differences(data)
    return section("Quality", words, *parts)


def _task_quality(data: ReportData, task: str) -> Element:
    rankers = {name: by_task[task] for name, by_task in data.quality.items()}
    metrics = rankers[data.served].names
    head = ["ranker", *metrics.values(), *(["share"] if ORACLE in rankers else [])]
    rows = []
    for name, q in rankers.items():
        share = data.margin_share(name, task)
        row = [name, *(with_margin(*q[metric]) for metric in metrics)]
        rows.append(row if share is None else [*row, _percent(share)])
    return h(
        "div",
        quality_rows(task, rankers, data.served),
        table(head, rows, f"{task}, on the test exposures", strong=0),
    )


def _differences(data: ReportData) -> list[Element]:
    served = data.served
    words = (
        f"Each ranker minus {served}, which is served, on the same draws of users. Users who are "
        "easy or hard are so for both rankers, and cancel: these intervals are those of the "
        "difference, mostly far narrower than a ranker's own. One that leaves out 0 is a real "
        "difference at 95%; where it holds 0, the dot is hollow: these users cannot tell the two "
        "apart."
    )
    parts = []
    for task in data.tasks:
        of_task = {name: by_task[task] for name, by_task in data.differences.items()}
        compared, metrics = data.compared_by(task), data.quality[served][task].names
        rows = [
            [name, *(signed(d[metric]) for metric in metrics), _verdict(d.compared)]
            for name, d in of_task.items()
        ]
        parts.append(
            h(
                "div",
                difference_rows(
                    task, compared, {n: d.compared for n, d in of_task.items()}, served
                ),
                table(
                    ["ranker", *metrics.values(), f"by {compared}"],
                    rows,
                    f"{task}, minus {served} on the same draws of users",
                ),
            )
        )
    return [h("h3", "Paired differences"), h("p", words, class_="how"), columns(*parts)]


def slices(data: ReportData) -> Element:
    """The served ranker on new users, and by length of history."""
    served, *others = data.slices
    charts, tables = [], []
    for task in data.tasks:
        by_ranker = {name: by_task[task] for name, by_task in data.slices.items()}
        compared, metrics = data.compared_by(task), data.quality[served][task].names
        head = ["behaviours", "users", "exposures", *metrics.values()]
        rows = [
            [
                part.name,
                f"{part.users:,}",
                f"{part.exposures:,}",
                *(with_margin(*part.quality[metric]) for metric in metrics),
                *(with_margin(*each.quality.compared) for each in beside),
            ]
            for part, *beside in zip(*by_ranker.values(), strict=True)
        ]
        charts.append(slice_rows(task, compared, by_ranker))
        head += [f"{name} {compared}" for name in others]
        tables.append(table(head, rows, f"{task}, {served} by slice", class_="wide"))
    return section(
        "Slices",
        "Test exposures by how many behaviours of their user were known before the row's window. "
        "A ranker that learns from histories should gain with their length; on new users it has "
        "only profile, context and item. A user with several rows may count in several slices, and "
        "a wide interval says that a slice is small.",
        columns(*charts),
        *tables,
    )


def _verdict(difference: Estimate) -> str:
    if not math.isfinite(difference.low):
        return "–"
    if not told_apart(difference):
        return "undecided"
    return "better" if difference.value > 0 else "worse"


def _percent(share: float) -> str:
    return f"{share:.1%}" if math.isfinite(share) else rate(share)
