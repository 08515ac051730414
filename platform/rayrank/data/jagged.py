"""JaggedBatch: user rows as tensors, in one buffer, with nothing padded.

Everything a model reads from a batch is a view of one byte buffer, so one copy moves a batch to a
device, in training and in serving. Ids that share an embedding table lie side by side.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import torch

from rayrank.schema import Schema, Token

Group = Literal["profile", "history", "realtime", "candidates"]
GROUPS: tuple[Group, ...] = ("profile", "history", "realtime", "candidates")
TOKEN_OF: dict[Group, Token] = {
    "profile": "profile",
    "history": "behaviour",
    "realtime": "behaviour",
    "candidates": "candidate",
}
TIME_COLUMN: dict[Group, str] = {"history": "time", "realtime": "known_at", "candidates": "time"}


@dataclass(frozen=True)
class JaggedBatch:
    """B users with H history, R realtime and C candidate elements in all.

    buffer uint8 [bytes]: int64 segments, then float32 segments. The views:
    """

    buffer: torch.Tensor
    users: int
    counts: dict[Group, int]
    """Elements per group over all users: profile is B times its features."""
    _segments: dict[tuple[str, ...], tuple[int, int]]
    _floats_from: int

    def to(self, device: torch.device | str) -> "JaggedBatch":
        """The batch on a device: one copy."""
        return JaggedBatch(
            self.buffer.to(device, non_blocking=True),
            self.users,
            self.counts,
            self._segments,
            self._floats_from,
        )

    def pin_memory(self) -> "JaggedBatch":
        """The batch in page-locked memory, from which `to` a GPU is asynchronous."""
        return JaggedBatch(
            self.buffer.pin_memory(), self.users, self.counts, self._segments, self._floats_from
        )

    @property
    def device(self) -> torch.device:
        """Where the buffer is."""
        return self.buffer.device

    @property
    def candidates(self) -> int:
        """C, the number of scores a model owes for this batch."""
        return self.counts["candidates"]

    @property
    def tokens(self) -> int:
        """T, the number of tokens over all users."""
        return sum(self.counts.values())

    def lengths(self, group: Group) -> torch.Tensor:
        """int64 [B]: elements of history, realtime or candidates per user."""
        return self._view("lengths", group)

    def times(self, group: Group) -> torch.Tensor:
        """int64 ms: event time of history [H] and candidates [C], known_at of realtime [R]."""
        return self._view("times", group)

    @property
    def window_start(self) -> torch.Tensor:
        """int64 ms [B]: where each user's window starts."""
        return self._view("window_start")

    def ids(self, group: Group, feature: str) -> torch.Tensor:
        """int64 [elements of the group], or the values of a list feature end to end."""
        return self._view("ids", group, feature)

    def table_ids(self, table: str) -> torch.Tensor:
        """int64 [ids]: every id of a table in this batch, as one view."""
        return self._view("table", table)

    def of_table(
        self, vectors_ND: torch.Tensor, table: str, group: Group, feature: str
    ) -> torch.Tensor:
        """The rows of `vectors_ND`, one per id of `table_ids(table)`, that belong to a feature."""
        start, length = self._segments["ids", group, feature]
        start -= self._segments["table", table][0]
        return vectors_ND[start : start + length]

    def list_lengths(self, group: Group, feature: str) -> torch.Tensor:
        """int64 [elements of the group]: how many ids a list feature has in each element."""
        return self._view("list_lengths", group, feature)

    def numbers(self, group: Group, feature: str) -> torch.Tensor:
        """float32 [elements of the group]."""
        return self._view("numbers", group, feature)

    def labels(self, task: str) -> torch.Tensor:
        """float32 [C] of 0 and 1; KeyError for a batch that was never labelled."""
        return self._view("labels", task)

    def _view(self, *key: str) -> torch.Tensor:
        start, length = self._segments[key]
        if key[0] in ("numbers", "labels"):
            return self.buffer[self._floats_from :].view(torch.float32)[start : start + length]
        return self.buffer[: self._floats_from].view(torch.int64)[start : start + length]


def to_jagged(rows: pa.Table, schema: Schema) -> JaggedBatch:
    """User rows as a JaggedBatch in CPU memory; `rows` may be empty.

    Rows are as `data.user_rows.row_schema` says; `labels` may be missing (requests).
    """
    columns = {name: rows[name].combine_chunks() for name in rows.column_names}
    ints: dict[tuple[str, ...], np.ndarray] = {}
    floats: dict[tuple[str, ...], np.ndarray] = {}
    ints["window_start",] = _numpy(columns["window_start"])
    counts: dict[Group, int] = {"profile": len(rows) * len(schema.features_of("profile"))}
    by_table: list[tuple[str, tuple[str, ...], np.ndarray]] = []
    for group in GROUPS:
        if group != "profile":
            times = columns[group].field(TIME_COLUMN[group])
            ints["lengths", group] = _lengths(times)
            ints["times", group] = _numpy(times.flatten())
            counts[group] = len(ints["times", group])
        for name, feature in schema.features_of(TOKEN_OF[group]).items():
            values = columns[group].field(name)
            values = values if group == "profile" else values.flatten()
            if feature.kind == "number":
                floats["numbers", group, name] = _numpy(values)
                continue
            if feature.kind == "ids":
                ints["list_lengths", group, name] = _lengths(values)
                values = values.flatten()
            assert feature.table is not None
            by_table.append((feature.table, ("ids", group, name), _numpy(values)))
    # Stable: segments of one table keep their order and lie side by side.
    for _, key, ids in sorted(by_table, key=lambda entry: entry[0]):
        ints[key] = ids
    table_of = {key: table for table, key, _ in by_table}
    if "labels" in columns:
        for task in schema.tasks:
            floats["labels", task] = _numpy(columns["labels"].field(task).flatten())
    return _pack(ints, floats, table_of, len(rows), counts)


def _pack(
    ints: dict[tuple[str, ...], np.ndarray],
    floats: dict[tuple[str, ...], np.ndarray],
    table_of: dict[tuple[str, ...], str],
    users: int,
    counts: dict[Group, int],
) -> JaggedBatch:
    segments: dict[tuple[str, ...], tuple[int, int]] = {}
    sizes = []
    for part in (ints, floats):
        total = 0
        for key, values in part.items():
            segments[key] = (total, len(values))
            total += len(values)
        sizes.append(total)
    for key, table in table_of.items():
        start, length = segments[key]
        first, ids = segments.get(("table", table), (start, 0))
        segments["table", table] = (min(first, start), ids + length)
    floats_from = 8 * sizes[0]
    buffer = torch.empty(floats_from + 4 * sizes[1], dtype=torch.uint8)
    raw = buffer.numpy()
    if sizes[0]:
        np.concatenate(list(ints.values()), out=raw[:floats_from].view(np.int64))
    if sizes[1]:
        np.concatenate(list(floats.values()), out=raw[floats_from:].view(np.float32))
    return JaggedBatch(buffer, users, counts, segments, floats_from)


def _lengths(lists: pa.ListArray) -> np.ndarray:
    return np.diff(lists.offsets.to_numpy()).astype(np.int64)


def _numpy(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)
