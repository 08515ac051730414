"""Exposures become user rows: one user in one window, whatever the number of exposures.

    user          the key as the log has it
    window_start  int64 ms: the cut between history and realtime
    tokens        int64: the length of the row's sequence
    visible_pairs int64: how many (query, key) pairs the attention mask leaves
    profile       struct: one value per profile feature    (absent where the schema has none)
    history       struct of lists: time, known_at, behaviour features; known before the window
    realtime      the same, known inside the window and before the last candidate
    candidates    struct of lists: time, item, candidate features; the window's exposures
    labels        struct of lists, one per task            (training rows only)

history and realtime ascend in known_at, candidates in time. `group` works on any Arrow column
types, so the same code groups encoded columns (training, requests) and raw ones (replays).
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rayrank.data.encode import stored_type
from rayrank.schema import Schema, Token


@dataclass(frozen=True)
class Behaviours:
    """What users did, in any order: parallel columns of n behaviours."""

    user: np.ndarray
    """int64 [n]: index of the user, 0 to users - 1."""
    time_ms: np.ndarray
    known_at_ms: np.ndarray
    features: pa.Table


@dataclass(frozen=True)
class Candidates:
    """What users were (or may be) shown, sorted by user, then window, then time."""

    user: np.ndarray
    window_start_ms: np.ndarray
    split: np.ndarray
    """int64 [n]: rows never mix splits, even within one window."""
    time_ms: np.ndarray
    item: pa.Array
    features: pa.Table
    labels: pa.Table | None


def group(
    candidates: Candidates,
    behaviours: Behaviours,
    profiles: pa.Table,
    user_keys: pa.Array,
    max_history: int,
) -> tuple[pa.Table, np.ndarray]:
    """The user rows of all candidates, and each row's split, int64 [rows].

    profiles [users] and user_keys [users] are indexed by the users' indices. Of history the most
    recent `max_history` behaviours are kept. No Python call per group: sort, offsets, takes.
    """
    starts = _starts(candidates.user, candidates.window_start_ms, candidates.split)
    ends = np.append(starts[1:], len(candidates.user))[: len(starts)]
    user, window = candidates.user[starts], candidates.window_start_ms[starts]

    order = np.lexsort((behaviours.known_at_ms, behaviours.user))
    key = _Key(behaviours.known_at_ms, candidates.time_ms, candidates.window_start_ms)
    known = key(behaviours.user, behaviours.known_at_ms)[order]
    # Behaviours known before the window, and those known before the row's last candidate.
    first = np.searchsorted(known, key.first_of(user))
    cut = np.searchsorted(known, key(user, window))
    last = np.maximum(cut, np.searchsorted(known, key(user, candidates.time_ms[ends - 1])))

    def behaviour_lists(begin: np.ndarray, end: np.ndarray) -> pa.StructArray:
        taken, offsets = _ranges(begin, end)
        rows = order[taken]
        columns = {
            "time": pa.array(behaviours.time_ms[rows]),
            "known_at": pa.array(behaviours.known_at_ms[rows]),
        }
        return _lists(columns, behaviours.features.take(pa.array(rows)), offsets)

    seen = np.searchsorted(known, key(candidates.user, candidates.time_ms))
    seen = np.maximum(0, seen - np.repeat(cut, ends - starts))
    kept = np.maximum(first, cut - max_history)
    static, realtime, shown = profiles.num_columns + cut - kept, last - cut, ends - starts
    offsets = np.append(starts, len(candidates.user)).astype(np.int32)
    columns: dict[str, pa.Array] = {
        "user": user_keys.take(pa.array(user)),
        "window_start": pa.array(window),
        "tokens": pa.array(static + realtime + shown),
        "visible_pairs": pa.array(
            (static + realtime + shown) * static
            + realtime * (realtime + 1) // 2
            + shown
            + _sum_ranges(seen, starts)
        ),
        "history": behaviour_lists(kept, cut),
        "realtime": behaviour_lists(cut, last),
        "candidates": _lists(
            {"time": pa.array(candidates.time_ms), "item": candidates.item},
            candidates.features,
            offsets,
        ),
    }
    if profiles.num_columns:
        columns["profile"] = pa.StructArray.from_arrays(
            [profiles[n].combine_chunks().take(pa.array(user)) for n in profiles.column_names],
            names=profiles.column_names,
        )
    if candidates.labels is not None:
        columns["labels"] = _lists({}, candidates.labels, offsets)
    return pa.table(columns), candidates.split[starts]


def row_schema(schema: Schema, user: pa.DataType, item: pa.DataType) -> pa.Schema:
    """The Arrow schema of an encoded training row, for keys of these types."""

    def lists(fixed: dict[str, pa.DataType], token: Token) -> pa.DataType:
        features = {n: stored_type(f) for n, f in schema.features_of(token).items()}
        return pa.struct([(n, pa.list_(t)) for n, t in (fixed | features).items()])

    times = {"time": pa.int64(), "known_at": pa.int64()}
    columns = {
        "user": user,
        "window_start": pa.int64(),
        "tokens": pa.int64(),
        "visible_pairs": pa.int64(),
        "history": lists(times, "behaviour"),
        "realtime": lists(times, "behaviour"),
        "candidates": lists({"time": pa.int64(), "item": item}, "candidate"),
        "labels": pa.struct([(task, pa.list_(pa.float32())) for task in schema.tasks]),
    }
    profile = [(n, stored_type(f)) for n, f in schema.features_of("profile").items()]
    return pa.schema(columns | ({"profile": pa.struct(profile)} if profile else {}))


class _Key:
    """(user, time) as one sortable int64, for searching all users' sorted times at once."""

    def __init__(self, *times: np.ndarray) -> None:
        present = [t for t in times if len(t)]
        self.low = min((int(t.min()) for t in present), default=0)
        self.span = max((int(t.max()) for t in present), default=0) - self.low + 2

    def __call__(self, user: np.ndarray, time_ms: np.ndarray) -> np.ndarray:
        return user * self.span + (time_ms - self.low)

    def first_of(self, user: np.ndarray) -> np.ndarray:
        return user * self.span


def _starts(*keys: np.ndarray) -> np.ndarray:
    if len(keys[0]) == 0:
        return np.empty(0, np.int64)
    changed = np.zeros(len(keys[0]), bool)
    changed[0] = True
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changed)


def _ranges(begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[begin[i], end[i]) for all i, laid end to end, and the offsets between them (int32)."""
    lengths = end - begin
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    taken = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], lengths)
    return taken, offsets.astype(np.int32)


def _sum_ranges(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums over consecutive, non-empty ranges that start at `starts`."""
    return np.add.reduceat(values, starts) if len(starts) else np.empty(0, np.int64)


def _lists(columns: dict[str, pa.Array], features: pa.Table, offsets: np.ndarray) -> pa.StructArray:
    flat = columns | {n: features[n].combine_chunks() for n in features.column_names}
    lists = [pa.ListArray.from_arrays(pa.array(offsets), values) for values in flat.values()]
    return pa.StructArray.from_arrays(lists, names=list(flat))
