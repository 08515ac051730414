"""Labels from later events: which exposure an order belongs to, and when that was known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rayrank.schema import Schema


@dataclass(frozen=True)
class Outcomes:
    """Per task: labels float32 [n] of 0 and 1, and the time each was known, int64 ms [n]."""

    label: dict[str, np.ndarray]
    known_at: dict[str, np.ndarray]


def attribute(
    schema: Schema,
    user: np.ndarray,
    item: np.ndarray,
    time_ms: np.ndarray,
    observed_at_ms: np.ndarray,
    columns: dict[str, np.ndarray],
    events: pd.DataFrame,
) -> Outcomes:
    """The label of every exposure for every task.

    user, item int64 [n] and time_ms int64 [n] ascending; observed_at_ms int64 [n] says when label
    columns were known; columns holds the label columns; events has user, item, time_ms and type.

    Last touch: an event goes to the latest eligible exposure of the same user and item at or
    before it, no longer ago than `within` of that exposure's anchor. A positive is known at its
    first event; a negative only once `within` has passed (or with its parent, where that was
    already negative): until then nobody could know.
    """
    label: dict[str, np.ndarray] = {}
    known_at: dict[str, np.ndarray] = {}
    for name, task in schema.tasks.items():
        if task.label is not None:
            label[name] = columns[task.label].astype(np.float32)
            known_at[name] = observed_at_ms
            continue
        assert task.within is not None
        within_ms = int(task.within.total_seconds() * 1000)
        if task.after is None:
            eligible, anchor = np.ones(len(user), bool), time_ms
        else:
            eligible = label[task.after] == 1
            # The parent's own event starts the clock where it has one.
            parent_is_event = schema.tasks[task.after].event is not None
            anchor = known_at[task.after] if parent_is_event else time_ms
        rows = np.flatnonzero(eligible)
        touched = _latest_exposure(
            pd.DataFrame(
                {"user": user[rows], "item": item[rows], "time_ms": anchor[rows], "row": rows}
            ),
            events[events["type"] == task.event],
            within_ms,
        )
        first = touched.groupby("row")["event_ms"].min()
        label[name] = np.zeros(len(user), np.float32)
        label[name][first.index] = 1
        otherwise = known_at[task.after] if task.after is not None else time_ms
        known_at[name] = np.where(eligible, anchor + within_ms, otherwise)
        known_at[name][first.index] = first.to_numpy()
    return Outcomes(label, known_at)


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
