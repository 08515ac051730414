"""The table that a run ends with."""

import io

from rayrank.evaluate.table import quality_table
from rich.console import Console

from .runs import Evaluated


def test_everybody_stands_in_the_table_with_every_task(evaluated: Evaluated) -> None:
    evaluation = evaluated.results
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(quality_table(evaluation))
    lines = console.export_text().splitlines()
    tasks = next(iter(evaluation.everyone.values())).keys()
    heading = next(line for line in lines if "ranker" in line)
    for task in tasks:
        assert f"{task} AUC" in heading
        assert f"{task} GAUC" in heading
    for name, quality in evaluation.everyone.items():
        (line,) = (line for line in lines if line.startswith(f"│ {name} "))
        for task in tasks:
            assert f"{quality[task]['auc'].value:.4f} ±" in line
            assert f"{quality[task]['gauc'].value:.4f} ±" in line
            if name in evaluation.differences:
                assert f"({evaluation.differences[name][task]['gauc'].value:+.4f} ±" in line
