"""Labels from later events: which exposure an order belongs to, and when that was known."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from rayrank.schema import Schema


@dataclass(frozen=True)
class Outcomes:
    """Of n exposures, per task:"""

    label: dict[str, np.ndarray]
    """float32 [n] of 0 and 1, NaN where it is not known yet."""
    happened: dict[str, np.ndarray]
    """bool [n]: whether it came true as far as the log goes, which a label may not tell yet."""
    known_at: dict[str, np.ndarray]
    """int64 ms [n]: when that was known."""
    events: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of tasks that follow from events: how many there are, how many of them belong to an
    exposure."""

    @staticmethod
    def of_columns(label: dict[str, np.ndarray], known_at: dict[str, np.ndarray]) -> "Outcomes":
        """Of tasks whose labels are columns, NaN where unknown."""
        return Outcomes(label, {name: column == 1 for name, column in label.items()}, known_at)


def attribute(
    schema: Schema,
    user: np.ndarray,
    item: np.ndarray,
    time_ms: np.ndarray,
    columns: Outcomes,
    events: pd.DataFrame,
    complete_until_ms: int,
) -> Outcomes:
    """The outcome of every exposure for every task.

    user, item int64 [n] and time_ms int64 [n] ascending; columns holds the tasks that are label
    columns; events has user, item, time_ms and type, and holds all there were until
    complete_until_ms.

    Last touch: an event goes to the exposure of the same user and item whose clock started latest
    at or before it, no longer than `within` ago. The clock starts at the exposure, or with `after`
    when that task's positive outcome was known. A positive is known at its first event; a negative
    only once `within` has passed (or with its parent, where that was already negative): until then
    nobody could know.

    A label is unknown whose window reaches beyond complete_until_ms, whatever came of it so far:
    were those that came early kept, the last days would be all positives. For the same reason it is
    unknown where the parent was negative so late that a positive one would leave it open.
    """
    label, happened, known_at = (
        dict(of) for of in (columns.label, columns.happened, columns.known_at)
    )
    counted: dict[str, tuple[int, int]] = {}
    for name, task in schema.tasks.items():
        if task.label is not None:
            continue
        assert task.within is not None
        within_ms = int(task.within.total_seconds() * 1000)
        eligible, anchor = np.ones(len(user), bool), time_ms
        if task.after is not None:
            # An event that came before the parent's outcome was known is no consequence of it.
            eligible, anchor = happened[task.after], known_at[task.after]
        rows = np.flatnonzero(eligible)
        of_type = events[events["type"] == task.event]
        touched = _latest_exposure(
            pd.DataFrame(
                {"user": user[rows], "item": item[rows], "time_ms": anchor[rows], "row": rows}
            ),
            of_type,
            within_ms,
        )
        counted[name] = (len(of_type), len(touched))
        first = touched.groupby("row")["event_ms"].min()
        happened[name] = np.zeros(len(user), bool)
        happened[name][first.index] = True
        known_at[name] = np.where(eligible, anchor + within_ms, anchor)
        known_at[name][first.index] = first.to_numpy()
        unknown = anchor + within_ms > complete_until_ms
        if task.after is not None:
            unknown |= np.isnan(label[task.after])
        label[name] = np.where(unknown, np.float32(np.nan), happened[name].astype(np.float32))
    return Outcomes(label, happened, known_at, counted)


def _latest_exposure(exposures: pd.DataFrame, events: pd.DataFrame, within_ms: int) -> pd.DataFrame:
    if exposures.empty or events.empty:
        return pd.DataFrame({"row": np.empty(0, np.int64), "event_ms": np.empty(0, np.int64)})
    matched = pd.merge_asof(
        events.assign(event_ms=events["time_ms"]).sort_values("time_ms", kind="stable"),
        exposures.sort_values("time_ms", kind="stable"),
        on="time_ms",
        by=["user", "item"],
        direction="backward",
        tolerance=within_ms,
    )
    return matched.dropna(subset=["row"]).astype({"row": np.int64})
