"""The table of rankers that people read."""

from typing import Any

from rich.console import Console
from rich.table import Table


def print_quality(results: dict[str, Any]) -> None:
    """Print AUC and GAUC of every ranker and baseline, with bootstrap standard errors."""
    everyone = results["rankers"] | results["baselines"]
    tasks = next(iter(everyone.values())).keys()
    table = Table(title="Test rows: AUC and GAUC ± bootstrap standard error over users")
    table.add_column("ranker")
    for task in tasks:
        for metric in ("AUC", "GAUC"):
            table.add_column(f"{task} {metric}", justify="right")
    for name, quality in everyone.items():
        table.add_row(
            name,
            *(
                f"{quality[task][m]:.4f} ± {quality[task][m + '_se']:.4f}"
                for task in tasks
                for m in ("auc", "gauc")
            ),
        )
    Console().print(table)
