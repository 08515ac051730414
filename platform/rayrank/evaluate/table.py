"""The tables of rankers that people read."""

from rich.table import Table

from rayrank.evaluate.results import Evaluation
from rayrank.metrics import Estimate
from rayrank.metrics.uncertainty import Z95


def quality_table(evaluation: Evaluation) -> Table:
    """The metrics of every ranker and baseline, with what they are apart from the served one."""
    tasks = evaluation.rankers[evaluation.served]
    table = Table(
        title=f"{evaluation.exposures:,} test exposures of {evaluation.users:,} users: value ± "
        f"1.96 standard errors (bootstrap over users), and in brackets the paired "
        f"difference to {evaluation.served}",
        title_justify="left",
    )
    table.add_column("ranker")
    for task, served in tasks.items():
        for metric in served.names.values():
            table.add_column(f"{task} {metric}", justify="right")
    for name, quality in evaluation.everyone.items():
        cells = []
        for task, served in tasks.items():
            for metric in served.names:
                cell = _shown(quality[task][metric])
                if metric == served.compared_by and name in evaluation.differences:
                    apart = evaluation.differences[name][task].compared
                    cell += f" ({_shown(apart, sign='+')})"
                cells.append(cell)
        table.add_row(name, *cells)
    return table


def _shown(estimate: Estimate, sign: str = "") -> str:
    return f"{estimate.value:{sign}.4f} ± {Z95 * estimate.standard_error:.4f}"
