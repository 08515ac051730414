"""What came of each day of daily training: a JSON file for each, and one table."""

from datetime import date
from typing import NamedTuple

from pydantic import ConfigDict
from rich.table import Table

from rayrank.evaluate.gate import GATED, LOG_LOSS, Gate, TaskMeasure
from rayrank.metrics import BinaryQuality, NumberQuality
from rayrank.metrics.uncertainty import Z95
from rayrank.run.run import Run
from rayrank.storage import files_in, write_whole
from rayrank.strict import Strict

NAMES = BinaryQuality.names | NumberQuality.names


class DayOutcome(Strict):
    """A day that was decided on."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    day: str
    """`2026-11-24`"""
    ranker: str
    accepted: bool
    rows: str
    """Names the content of the day's rows."""
    share: float
    """Of its users, so many were held out."""
    went_on_from: str | None
    """The day whose model was there before; None where there was none (or `train.start_from`)."""
    before: dict[str, TaskMeasure] | None
    """Task -> what the model before was worth on the whole day, of which it had learned nothing."""
    held_out: dict[str, TaskMeasure] | None
    """Task -> what the day's own model is worth on its held-out users; None where it was not
    trained."""
    gates: list[Gate]
    version: str | None
    """Of the ranker, under rankers/NAME."""
    bundle: str | None
    """The version that was promoted."""
    seconds: float
    """What the day took, its rows included."""

    @property
    def failed(self) -> list[Gate]:
        """The gates that it did not pass."""
        return [gate for gate in self.gates if not gate.passed]

    @property
    def measure(self) -> dict[str, TaskMeasure]:
        """How good models were on this day before they had learned from it: the one before it, or,
        on the first day, its own on held-out users."""
        return self.before or self.held_out or {}


class Decided(NamedTuple):
    """All days of a ranker that were decided on, ascending."""

    outcomes: list[DayOutcome]

    def of(self, day: date) -> DayOutcome | None:
        """What came of a day; None where it was not decided on."""
        return next((o for o in self.outcomes if o.day == str(day)), None)

    def accepted_before(self, day: date) -> list[DayOutcome]:
        """The accepted days before a day."""
        return [o for o in self.outcomes if o.accepted and o.day < str(day)]

    def last(self) -> date | None:
        """The last day that was decided on."""
        return date.fromisoformat(self.outcomes[-1].day) if self.outcomes else None

    def last_accepted(self) -> date | None:
        """The last day that was accepted."""
        accepted = [o.day for o in self.outcomes if o.accepted]
        return date.fromisoformat(accepted[-1]) if accepted else None


def read_decided(run: Run, ranker: str) -> Decided:
    """The days that are there."""
    files = files_in(run.folder.days(ranker), "*.json")
    return Decided([DayOutcome.model_validate_json(file.read_text()) for file in files])


def write_outcome(run: Run, outcome: DayOutcome) -> None:
    """Keep what came of a day, in the place of what came of it before."""
    file = run.folder.day(outcome.ranker, outcome.day)
    write_whole(file, outcome.model_dump_json(indent=1))


def days_table(outcomes: list[DayOutcome]) -> Table:
    """A line per day: what the model before was worth on it, and what became of the day's own."""
    table = Table(
        title="the model before on each day, of which it had learned nothing (in brackets: a "
        "first day's own on held-out users), and the bundle that was promoted",
        title_justify="left",
    )
    table.add_column("day", no_wrap=True)
    columns = [
        (task, metric)
        for task, measure in (outcomes[-1].measure if outcomes else {}).items()
        for metric in (
            *(name for name in measure.metrics if name in GATED.values()),
            *([LOG_LOSS] if measure.log_loss is not None else []),
        )
    ]
    for task, metric in columns:
        table.add_column(f"{task} {NAMES.get(metric, 'log-loss')}", justify="right")
    table.add_column("outcome", no_wrap=True)
    for outcome in outcomes:
        cells = [_cell(outcome, task, metric) for task, metric in columns]
        names = ", ".join(sorted({gate.name for gate in outcome.failed}))
        end = str(outcome.bundle) if outcome.accepted else f"refused: {names}"
        table.add_row(outcome.day, *cells, end)
    return table


def _cell(outcome: DayOutcome, task: str, metric: str) -> str:
    measure = outcome.measure.get(task)
    if measure is None:
        return ""
    if metric == LOG_LOSS:
        told = "" if measure.log_loss is None else f"{measure.log_loss:.4f}"
    else:
        value = measure.metrics[metric]
        told = f"{value.value:.4f} ±{Z95 * value.standard_error:.3f}"
    return told if outcome.before else f"({told})"


def told_gates(outcome: DayOutcome) -> list[str]:
    """A line for each gate."""
    return [
        f"{'passed' if gate.passed else 'FAILED'}  {gate.name:<11} {gate.told}"
        for gate in outcome.gates
    ]
