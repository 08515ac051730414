"""docs/lab-results.md: the tables of a lab that was kept, as Markdown (`make docs`).

python -m rayrank.lab.results_page docs/lab docs/lab-results.md
"""

import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rayrank.lab.look import (
    MORE,
    cell,
    compared_key,
    cost_cells,
    exponent,
    line_of,
    models,
    names_of,
    size_cells,
    tasks,
)
from rayrank.lab.results import CostLine, FitLine, Found, Line, SizeLine

LEAD = """\
# What the lab found

Made from the tables of `docs/lab` by `make docs`. How they were made, and what stands out in them:
[the model lab](lab.md). Mean ± deviation over seeds, on test days. A difference is
to MTGR with its chosen settings, paired by seed and by draws of users, with its 95 % interval;
**bold** where that leaves out 0. Baselines draw nothing, and have no deviation. Each table is a
file: [quality](lab/quality.csv), [ablation](lab/ablation.csv), [scaling](lab/scaling.csv),
[laws](lab/scaling_fit.csv), [cost](lab/cost.csv), [trials](lab/trials.csv).
"""
HEADINGS = {
    "quality": "Quality",
    "ablation": "What of MTGR brings it",
    "scaling": "What more compute brings",
    "cost": "What it costs",
}


def page(found: Found, pictures: Sequence[str]) -> str:
    """The whole page; `pictures` are the names of those beside the tables."""
    parts = {
        "quality": [_quality(found.quality, data, task) for data, task in tasks(found.quality)],
        "ablation": [_ablation(found.ablation, data) for data in _logs(found.ablation)],
        "scaling": [_sizes(found.scaling), _laws(found.fits)],
        "cost": [_costs(found.costs)],
    }
    text = [LEAD]
    for name, tables in parts.items():
        text.append(f"## {HEADINGS[name]}\n")
        if name in pictures:
            text.append(f"![{HEADINGS[name]}](lab/{name}.svg)\n")
        text += tables
    return "\n".join(text)


def _quality(lines: Sequence[Line], data: str, task: str) -> str:
    names = names_of(lines, data, task)
    compared = compared_key(lines, data, task)
    head = ["model", *names.values(), f"{names[compared]} less MTGR's", *MORE.values()]
    rows = [
        [
            model,
            *(cell(lines, data, model, task, metric) for metric in names),
            _difference(line_of(lines, data, model, task, compared)),
            *(cell(lines, data, model, task, metric) for metric in MORE),
        ]
        for model in models(lines, data)
    ]
    return f"**{data}, {task}**\n\n{_table(head, rows)}"


def _ablation(lines: Sequence[Line], data: str) -> str:
    of = {task: compared_key(lines, data, task) for log, task in tasks(lines) if log == data}
    head = ["changed", *(f"{t}: {names_of(lines, data, t)[metric]}" for t, metric in of.items())]
    rows = [
        [
            variant,
            *(_difference(line_of(lines, data, variant, *key)) for key in of.items()),
        ]
        for variant in models(lines, data)
    ]
    return f"**{data}**, less MTGR as it was chosen\n\n{_table(head, rows)}"


def _sizes(lines: Sequence[SizeLine]) -> str:
    head = ["", "size", "MFLOPs a row", "dense", "sparse", "mean ± deviation", "gain above a DLRM"]
    return _table(head, [[*size_cells(x), _interval(x.gain, x.low, x.high)] for x in lines])


def _laws(lines: Sequence[FitLine]) -> str:
    head = ["gain = a × FLOPs^b", "b, with its 95 % interval"]
    rows = [[f"{x.data}, {x.task}: {x.family}", exponent(x.b, x.b_low, x.b_high)] for x in lines]
    return _table(head, rows)


def _costs(lines: Sequence[CostLine]) -> str:
    head = [
        "", "dense", "sparse", "MFLOPs a row", "a candidate", "tokens/s in training",
        "ms for 100 candidates", "for 1,000",
    ]  # fmt: skip
    return _table(head, [cost_cells(x) for x in lines])


def _logs(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(line.data for line in lines))


def _difference(line: Line | None) -> str:
    if line is None or math.isnan(line.difference):
        return "–"
    return _interval(line.difference, line.low, line.high)


def _interval(value: float, low: float, high: float) -> str:
    told = f"{_signed(value)} [{_signed(low)}, {_signed(high)}]"
    return f"**{told}**" if low > 0 or high < 0 else told


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    tables, to = map(Path, sys.argv[1:])
    files = {file.stem: file.read_text() for file in tables.glob("*.csv")}
    to.write_text(page(Found.of("mtgr", files), [file.stem for file in tables.glob("*.svg")]))
