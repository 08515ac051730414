"""How the run went: learning, calibration, sequences, serving, time, and how to make it again."""

import math
from xml.etree.ElementTree import Element

import numpy as np

from rayrank.metrics.uncertainty import Z95
from rayrank.report.charts import calibration_plot, loss_curve, validation_curve
from rayrank.report.data import ReportData, bins_by_factors
from rayrank.report.histogram import histogram
from rayrank.report.markup import Child, columns, fold, h, section, table
from rayrank.report.numbers import rate

LOSS_ROWS = 12


def learning(data: ReportData) -> Element:
    """Training loss, and what rankers are compared by on later data, where it was measured."""
    chosen = np.unique(np.linspace(0, len(data.steps) - 1, LOSS_ROWS).round().astype(int))
    steps = [data.steps[k] for k in chosen]
    words = (
        "The loss of each step is faint, its running mean strong. It should fall fast and then "
        "slowly; a jump is a fault in data or learning rate."
    )
    charts = [loss_curve(data.steps)]
    tables = [
        table(
            ["step", "tokens", "loss"],
            [[f"{s.step:,}", f"{s.tokens:,}", f"{s.loss:.4f}"] for s in steps],
            f"{len(steps)} of {len(data.steps):,} steps",
        )
    ]
    if data.epochs:
        tasks_of: dict[str, list[str]] = {}
        for task in data.tasks:
            tasks_of.setdefault(data.compared_by(task), []).append(task)
        words += (
            f" {' and '.join(tasks_of)} on later data should rise with it: where it turns down "
            "while the loss still falls, the model overfits."
        )
        charts += [validation_curve(metric, of, data.epochs) for metric, of in tasks_of.items()]
        tables.append(
            table(
                ["step", *(f"{task} {data.compared_by(task)}" for task in data.tasks)],
                [
                    [f"{e.step:,}", *(rate(e.metrics[task]) for task in data.tasks)]
                    for e in data.epochs
                ],
                "On later data, after each epoch",
            )
        )
    return section("Learning", words, columns(*charts), fold("The numbers", columns(*tables)))


def calibration(data: ReportData) -> Element:
    """Whether the served ranker's probabilities can be believed."""
    tables = [
        table(
            ["mean prediction", "observed rate", "exposures"],
            [
                [
                    rate(b.predicted),
                    f"{b.observed:.4f} ± {Z95 * b.standard_error:.4f}",
                    f"{b.exposures:,}",
                ]
                for b in bins
            ],
            task,
        )
        for task, bins in data.calibration.items()
    ]
    return section(
        "Calibration",
        f"Test exposures sorted by what {data.served} predicts, in bins. On the dashed line a "
        "prediction of 0.2 comes true one time in five; points above it happen more often than "
        "predicted. Whiskers are 95% intervals of the observed rate.",
        columns(*(calibration_plot(task, bins) for task, bins in data.calibration.items())),
        fold("The numbers", columns(*tables)),
    )


def sequences(data: ReportData) -> Element:
    """What the user-row builder made of the log."""
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
        *((name.replace("_", " ", 1), f"{count:,}") for name, count in facts.elements.items()),
        ("log complete until", facts.complete_until),
        *((f"{task} labels", told) for task, told in facts.labels.items()),
    ]
    bins = [
        [_whole(low, high), f"{count:,}"]
        for low, high, count in zip(lengths.edges, lengths.edges[1:], lengths.counts, strict=False)
    ]
    return section(
        "Sequences",
        "A user row is one user on one day: profile, what was done before, today, candidates. A "
        "label that is not known yet is no negative: it is in no loss and no metric. The axis "
        "grows by factors. Batches are packed by cost, because the few rows in the tail hold so "
        "much of the work; padding all rows to the longest would waste nearly all of it.",
        columns(
            histogram(
                "Tokens per user row",
                lengths.edges,
                lengths.counts,
                unit="tokens",
                what="rows",
                marks={"median": lengths.p50, "mean": lengths.mean, "p99": lengths.p99},
            ),
            table([], summary, "What the builder made of the log"),
        ),
        fold("The numbers", columns(table(["tokens", "rows"], bins, "Rows by length"))),
    )


def serving(data: ReportData) -> Element:
    """The bundle behind HTTP: how fast, and whether it says what was trained."""
    served = data.serving
    latencies = np.array(served.latencies_ms)
    edges, counts = bins_by_factors(latencies)
    facts = [
        ("requests", f"{served.requests:,}"),
        ("median", f"{served.p50_ms:,.2f} ms"),
        ("99th percentile", f"{served.p99_ms:,.2f} ms"),
        ("fastest", f"{latencies.min():,.2f} ms"),
        ("slowest", f"{latencies.max():,.2f} ms"),
        ("largest difference", f"{served.max_abs_diff:.2e}"),
    ]
    return section(
        "Serving",
        "Test rows were sent over HTTP as requests, and each score compared with the trainer's. "
        "The difference is rounding: served vectors have 16 bits, and it should be below 0.006. "
        "A second hump or a far p99 means requests that queue.",
        columns(
            histogram(
                "Latency over HTTP",
                edges,
                counts,
                unit="milliseconds",
                what="requests",
                marks={"median": served.p50_ms, "p99": served.p99_ms},
            ),
            table([], facts, "From the client's side"),
        ),
    )


def stages(data: ReportData) -> Element:
    """Where the time went."""
    total, longest = sum(data.stages.values()), max([*data.stages.values(), 1e-9])
    rows: list[list[Child]] = [
        [name, f"{seconds:.1f} s", h("i", style=f"width:{100 * seconds / longest:.1f}%")]
        for name, seconds in data.stages.items()
    ]
    rows.append(["all", f"{total:.1f} s", None])
    return section(
        "Time",
        "Where the wall-clock time of the run went.",
        table([], rows, "In the order they ran", class_="stages"),
    )


def making(data: ReportData) -> Element:
    """What is needed to make the run again."""
    return section(
        "How it was made",
        "The command with this configuration, these seeds and these versions makes the run again. "
        "One click selects the whole of a block, to copy it.",
        fold(
            "Command, seeds, versions, configuration",
            _block("Command", data.command),
            columns(
                table(["of", "seed"], [[n, str(s)] for n, s in data.seeds.items()], "Seeds"),
                table(["package", "version"], [[*v] for v in data.versions.items()], "Versions"),
            ),
            _block("Configuration, overrides applied", data.config),
        ),
    )


def _block(name: str, content: str) -> Element:
    return h("figure", h("figcaption", name), h("pre", h("code", content)), class_="numbers")


def _whole(low: float, high: float) -> str:
    """The whole numbers between two edges."""
    first, last = math.ceil(low), math.floor(high)
    return f"{first:,}" if first >= last else f"{first:,} to {last:,}"
