"""The tables of rankers that people read."""

from rich.table import Table

from rayrank.evaluate.results import Evaluation
from rayrank.metrics import Estimate


def quality_table(evaluation: Evaluation) -> Table:
    """AUC and GAUC of every ranker and baseline, with what they are apart from the served one."""
    tasks = list(evaluation.rankers[evaluation.served])
    table = Table(
        title=f"{evaluation.exposures:,} test exposures of {evaluation.users:,} users: value ± "
        f"1.96 standard errors (bootstrap over users), and in brackets the GAUC's paired "
        f"difference to {evaluation.served}",
        title_justify="left",
    )
    table.add_column("ranker")
    for task in tasks:
        table.add_column(f"{task} AUC", justify="right")
        table.add_column(f"{task} GAUC", justify="right")
    for name, quality in evaluation.everyone.items():
        cells = []
        for task in tasks:
            gauc = _shown(quality[task].gauc)
            if name in evaluation.differences:
                gauc += f" ({_shown(evaluation.differences[name][task].gauc, sign='+')})"
            cells += [_shown(quality[task].auc), gauc]
        table.add_row(name, *cells)
    return table


def _shown(estimate: Estimate, sign: str = "") -> str:
    return f"{estimate.value:{sign}.4f} ± {1.96 * estimate.standard_error:.4f}"
