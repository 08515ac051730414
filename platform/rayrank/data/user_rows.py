"""Exposures become user rows: one user in one window, whatever the number of exposures.

    user          the key as the log has it
    window_start  int64 ms: the cut between static and realtime
    tokens        int64: the length of the row's sequence
    visible_pairs int64: how many (query, key) pairs the attention mask leaves
    profile       struct: one value per profile feature    (absent where the schema has none)
    static_NAME   for each sequence a struct of lists: time, known_at, its features; what was known
                  before the window
    realtime_NAME the same, known inside the window and before the last candidate
    candidates    struct of lists: time (when it was asked for), item, candidate features; the
                  window's exposures
    labels        struct of lists, one per task: 0, 1, or null where it is not known
    labels_known_at  the same of int64 ms: when each was  (both in training rows only)
    weight        list of float32: how much each candidate counts in training (where there are some)

The parts of sequences ascend in known_at (what was known at one moment, in time, then as in the
log: a day built alone must agree with the whole), candidates in time. `group` works on any Arrow
column types, so the same code groups encoded columns (training, requests) and raw ones (replays).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rayrank.data.encode import stored_type
from rayrank.schema import CANDIDATES, PROFILE, Schema, realtime_of, static_of


@dataclass(frozen=True)
class Behaviours:
    """One sequence of what users did, in any order: parallel columns of n behaviours."""

    user: np.ndarray
    """int64 [n]: index of the user, 0 to users - 1."""
    time_ms: np.ndarray
    known_at_ms: np.ndarray
    features: pa.Table
    keep: int
    """The most recent ones known before the window that a row keeps."""


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
    labels: pa.Table | None = None
    """A column per task, null where unknown."""
    labels_known_at: pa.Table | None = None
    """When they were known; there where labels are."""
    weight: pa.Array | None = None
    """float32 [n]: how much each counts in training, where that is said."""

    def take(self, picked: np.ndarray) -> "Candidates":
        """Some of them, int64 [picked]."""
        rows = pa.array(picked)
        return Candidates(
            self.user[picked],
            self.window_start_ms[picked],
            self.split[picked],
            self.time_ms[picked],
            self.item.take(rows),
            self.features.take(rows),
            None if self.labels is None else self.labels.take(rows),
            None if self.labels_known_at is None else self.labels_known_at.take(rows),
            None if self.weight is None else self.weight.take(rows),
        )


def row_starts(candidates: Candidates) -> np.ndarray:
    """int64 [rows]: which candidate is the first of each user row."""
    return starts_of(candidates.user, candidates.window_start_ms, candidates.split)


def group(
    candidates: Candidates,
    sequences: Mapping[str, Behaviours],
    profiles: pa.Table,
    user_keys: pa.Array,
    order: np.ndarray | None = None,
) -> tuple[pa.Table, np.ndarray]:
    """The user rows of all candidates, and each row's split, int64 [rows].

    profiles and user_keys [rows] are those of `row_starts`; order int64 [rows]: in which order rows
    stand in what is returned, theirs unless said. No Python call per group: sort, offsets, takes.
    """
    starts = row_starts(candidates)
    shown = np.diff(np.append(starts, len(candidates.user)))
    if order is not None:
        starts, shown = starts[order], shown[order]
        taken, _ = _ranges(starts, starts + shown)
        candidates = candidates.take(taken)
        profiles, user_keys = profiles.take(pa.array(order)), user_keys.take(pa.array(order))
        starts = np.cumsum(shown) - shown
    offsets = np.append(starts, len(candidates.user))
    user, window = candidates.user[starts], candidates.window_start_ms[starts]
    last_shown = candidates.time_ms[offsets[1:] - 1]
    known = [behaviours.known_at_ms for behaviours in sequences.values()]
    key = _Key(*known, candidates.time_ms, candidates.window_start_ms)

    static_parts, realtime_parts, realtime_keys = {}, {}, []
    static = np.full(len(starts), profiles.num_columns)
    realtime = np.zeros(len(starts), np.int64)
    for name, behaviours in sequences.items():
        by_time = np.lexsort((behaviours.time_ms, behaviours.known_at_ms, behaviours.user))
        known_keys = key(behaviours.user, behaviours.known_at_ms)[by_time]
        # Behaviours known before the window, and those known before the row's last candidate.
        first = np.searchsorted(known_keys, key.first_of(user))
        cut = np.searchsorted(known_keys, key(user, window))
        last = np.maximum(cut, np.searchsorted(known_keys, key(user, last_shown)))
        kept = np.maximum(first, cut - behaviours.keep)
        static_parts[static_of(name).name] = _behaviour_lists(behaviours, by_time, kept, cut)
        realtime_parts[realtime_of(name).name] = _behaviour_lists(behaviours, by_time, cut, last)
        taken, _ = _ranges(cut, last)
        row = np.repeat(np.arange(len(starts)), last - cut)
        realtime_keys.append(key(row, behaviours.known_at_ms[by_time[taken]]))
        static += cut - kept
        realtime += last - cut

    row = np.repeat(np.arange(len(starts)), shown)
    merged = np.sort(np.concatenate([np.empty(0, np.int64), *realtime_keys]))
    seen_by_candidates = _earlier(merged, key(row, candidates.time_ms), realtime, row)
    of_merged = np.repeat(np.arange(len(starts)), realtime)
    seen_by_realtime = _earlier(merged, merged, realtime, of_merged)
    tokens = static + realtime + shown
    columns: dict[str, pa.Array] = {
        "user": user_keys,
        "window_start": pa.array(window),
        "tokens": pa.array(tokens),
        # Everyone sees what is static; realtime and candidates themselves, and what was earlier.
        "visible_pairs": pa.array(
            tokens * static
            + realtime
            + shown
            + np.bincount(of_merged, seen_by_realtime, len(starts)).astype(np.int64)
            + np.bincount(row, seen_by_candidates, len(starts)).astype(np.int64)
        ),
    }
    if profiles.num_columns:
        columns[PROFILE.name] = pa.StructArray.from_arrays(
            [profiles[n].combine_chunks() for n in profiles.column_names],
            names=profiles.column_names,
        )
    columns |= static_parts | realtime_parts
    columns[CANDIDATES.name] = _lists(
        {"time": pa.array(candidates.time_ms), "item": candidates.item},
        candidates.features,
        offsets.astype(np.int32),
    )
    for name, of_tasks in (
        ("labels", candidates.labels),
        ("labels_known_at", candidates.labels_known_at),
    ):
        if of_tasks is not None:
            columns[name] = _lists({}, of_tasks, offsets.astype(np.int32))
    if candidates.weight is not None:
        columns["weight"] = pa.ListArray.from_arrays(
            pa.array(offsets.astype(np.int32)), candidates.weight
        )
    return pa.table(columns), candidates.split[starts]


def row_schema(schema: Schema, user: pa.DataType, item: pa.DataType) -> pa.Schema:
    """The Arrow schema of an encoded training row, for keys of these types."""

    def lists(fixed: dict[str, pa.DataType], token: str) -> pa.DataType:
        features = {n: stored_type(f) for n, f in schema.features_of(token).items()}
        return pa.struct([(n, pa.list_(t)) for n, t in (fixed | features).items()])

    times = {"time": pa.int64(), "known_at": pa.int64()}
    columns = {
        "user": user,
        "window_start": pa.int64(),
        "tokens": pa.int64(),
        "visible_pairs": pa.int64(),
    }
    profile = [(n, stored_type(f)) for n, f in schema.features_of(PROFILE.token).items()]
    if profile:
        columns[PROFILE.name] = pa.struct(profile)
    for group in (*schema.static, *schema.realtime):
        columns[group.name] = lists(times, group.token)
    columns[CANDIDATES.name] = lists({"time": pa.int64(), "item": item}, CANDIDATES.token)
    columns["labels"] = pa.struct([(task, pa.list_(pa.float32())) for task in schema.tasks])
    columns["labels_known_at"] = pa.struct([(task, pa.list_(pa.int64())) for task in schema.tasks])
    if schema.weight is not None:
        columns["weight"] = pa.list_(pa.float32())
    return pa.schema(columns)


def _behaviour_lists(
    behaviours: Behaviours, order: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> pa.StructArray:
    """For each row the behaviours from begin to end, of those in order."""
    taken, offsets = _ranges(begin, end)
    rows = order[taken]
    columns = {
        "time": pa.array(behaviours.time_ms[rows]),
        "known_at": pa.array(behaviours.known_at_ms[rows]),
    }
    return _lists(columns, _picked(behaviours.features, rows), offsets)


def _picked(features: pa.Table, rows: np.ndarray) -> pa.Table:
    """Some rows of a table: without a copy where they follow one another, as one user's do."""
    if len(rows) == 0 or (np.diff(rows) == 1).all():
        return features.slice(rows[0] if len(rows) else 0, len(rows))
    return features.take(pa.array(rows))


def _earlier(
    merged: np.ndarray, keys: np.ndarray, lengths: np.ndarray, row: np.ndarray
) -> np.ndarray:
    """How many of its row's realtime behaviours are strictly earlier than each key. merged: the
    keys of all of them, ascending, `lengths` of each row."""
    first = np.cumsum(lengths) - lengths
    earlier: np.ndarray = np.searchsorted(merged, keys) - first[row]
    return earlier


class _Key:
    """(user or row, time) as one sortable int64, for searching all their sorted times at once."""

    def __init__(self, *times: np.ndarray) -> None:
        present = [t for t in times if len(t)]
        self.low = min((int(t.min()) for t in present), default=0)
        self.span = max((int(t.max()) for t in present), default=0) - self.low + 2

    def __call__(self, user: np.ndarray, time_ms: np.ndarray) -> np.ndarray:
        return user * self.span + (time_ms - self.low)

    def first_of(self, user: np.ndarray) -> np.ndarray:
        return user * self.span


def starts_of(*keys: np.ndarray) -> np.ndarray:
    """int64: where runs of rows begin that are alike in all keys."""
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


def _lists(columns: dict[str, pa.Array], features: pa.Table, offsets: np.ndarray) -> pa.StructArray:
    flat = columns | {n: features[n].combine_chunks() for n in features.column_names}
    ends = pa.array(offsets)
    lists = [pa.ListArray.from_arrays(ends, values) for values in flat.values()]
    return pa.StructArray.from_arrays(lists, names=list(flat))
