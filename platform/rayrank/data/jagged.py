"""JaggedBatch: user rows as tensors, in one buffer, with nothing padded.

Everything a model reads from a batch is a view of one byte buffer, so one copy moves a batch to a
device, in training and in serving.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch

from rayrank.data.seen import seen
from rayrank.schema import CANDIDATES, PROFILE, Group, Schema

Key = tuple[str, ...]
"""Of a segment of the buffer: what it holds, group, feature."""


@dataclass(frozen=True)
class JaggedBatch:
    """B users with R realtime behaviours, over all sequences, and C candidates in all.

    buffer uint8 [bytes]: int64 segments, then float32 segments. The views:
    """

    buffer: torch.Tensor
    users: int
    counts: dict[Group, int]
    """Elements per group over all users, of the groups that it holds: profile is B times its
    features."""
    _segments: dict[Key, tuple[int, int]]
    _floats_from: int

    def to(self, device: torch.device | str) -> "JaggedBatch":
        """The batch on a device: one copy."""
        return self.in_buffer(self.buffer.to(device, non_blocking=True))

    def pin_memory(self) -> "JaggedBatch":
        """The batch in page-locked memory, from which `to` a GPU is asynchronous."""
        return self.in_buffer(self.buffer.pin_memory())

    def in_buffer(self, buffer: torch.Tensor) -> "JaggedBatch":
        """The batch with its bytes elsewhere."""
        return replace(self, buffer=buffer)

    @property
    def device(self) -> torch.device:
        """Where the buffer is."""
        return self.buffer.device

    @property
    def candidates(self) -> int:
        """C, the number of scores a model owes for this batch."""
        return self.counts[CANDIDATES]

    @property
    def tokens(self) -> int:
        """T, the number of tokens over all users."""
        return sum(self.counts.values())

    def lengths(self, group: Group) -> torch.Tensor:
        """int64 [B]: elements of a group per user; profile has none."""
        return self._view("lengths", group.name)

    def times(self, group: Group) -> torch.Tensor:
        """int64 ms [elements of the group]: when it happened, for static parts and candidates;
        when it was known, for realtime parts."""
        return self._view("times", group.name)

    @property
    def realtime_order(self) -> torch.Tensor:
        """int64 [R]: where, in the realtime parts of all sequences laid end to end, the behaviours
        stand that come one after the other: by user, then known_at, then sequence."""
        return self._view("realtime_order")

    @property
    def window_start(self) -> torch.Tensor:
        """int64 ms [B]: where each user's window starts."""
        return self._view("window_start")

    def ids(self, group: Group, feature: str) -> torch.Tensor:
        """int64 [elements of the group], or the values of a list feature end to end."""
        return self._view("ids", group.name, feature)

    def list_lengths(self, group: Group, feature: str) -> torch.Tensor:
        """int64 [elements of the group]: how many ids a list feature has in each element."""
        return self._view("list_lengths", group.name, feature)

    def numbers(self, group: Group, feature: str) -> torch.Tensor:
        """float32 [elements of the group]."""
        return self._view("numbers", group.name, feature)

    def vectors(self, group: Group, feature: str, width: int) -> torch.Tensor:
        """float32 [elements of the group, width]."""
        return self._view("vectors", group.name, feature).view(-1, width)

    @property
    def weight(self) -> torch.Tensor | None:
        """float32 [C]: how much each candidate counts in training; None where all do alike."""
        return self._view("weight") if ("weight",) in self._segments else None

    def labels(self, task: str) -> torch.Tensor:
        """float32 [C] of 0 and 1, NaN where it is unknown; KeyError for a batch without labels."""
        return self._view("labels", task)

    def _view(self, *key: str) -> torch.Tensor:
        start, length = self._segments[key]
        if key[0] in ("numbers", "vectors", "labels", "weight"):
            return self.buffer[self._floats_from :].view(torch.float32)[start : start + length]
        return self.buffer[: self._floats_from].view(torch.int64)[start : start + length]


def to_jagged(
    rows: pa.Table, schema: Schema, groups: Collection[Group] | None = None
) -> JaggedBatch:
    """User rows as a JaggedBatch in CPU memory, as the schema reads them; `rows` may be empty.

    They are as `data.user_rows.row_schema` says; `labels` may be missing (requests), and so may the
    columns of groups that are not asked for. What they hold beyond the schema is not read. groups:
    all of the schema's unless said; of the realtime ones all or none.
    """
    rows = seen(rows, schema)
    asked = [group for group in schema.groups if groups is None or group in groups]
    wanted = {"window_start", "labels", "weight", *(group.name for group in asked)}
    columns = {n: rows[n].combine_chunks() for n in rows.column_names if n in wanted}
    ints: dict[Key, np.ndarray] = {}
    floats: dict[Key, np.ndarray] = {}
    ints["window_start",] = _numpy(columns["window_start"])
    counts: dict[Group, int] = {}
    for group in asked:
        name = group.name
        if group == PROFILE:
            counts[group] = len(rows) * len(schema.features_of(group.token))
        else:
            times = columns[name].field("known_at" if group.part == "realtime" else "time")
            ints["lengths", name] = _lengths(times)
            ints["times", name] = _numpy(times.flatten())
            counts[group] = len(ints["times", name])
        for feature_name, feature in schema.features_of(group.token).items():
            values = columns[name].field(feature_name)
            values = values if group == PROFILE else values.flatten()
            if feature.kind == "number":
                floats["numbers", name, feature_name] = _numpy(values)
                continue
            if feature.kind == "vector":
                floats["vectors", name, feature_name] = _numpy(values.flatten())
                continue
            if feature.kind == "ids":
                ints["list_lengths", name, feature_name] = _lengths(values)
                values = values.flatten()
            ints["ids", name, feature_name] = _numpy(values)
    realtime = [group for group in asked if group.part == "realtime"]
    ints["realtime_order",] = _realtime_order(
        [ints["lengths", group.name] for group in realtime],
        [ints["times", group.name] for group in realtime],
    )
    if "labels" in columns:
        for task in schema.tasks:
            floats["labels", task] = _numpy(columns["labels"].field(task).flatten())
    if "weight" in columns:
        floats["weight",] = _numpy(columns["weight"].flatten())
    return _pack(ints, floats, len(rows), counts)


def _pack(
    ints: dict[Key, np.ndarray],
    floats: dict[Key, np.ndarray],
    users: int,
    counts: dict[Group, int],
) -> JaggedBatch:
    segments: dict[Key, tuple[int, int]] = {}
    sizes = []
    for part in (ints, floats):
        total = 0
        for key, values in part.items():
            segments[key] = (total, len(values))
            total += len(values)
        sizes.append(total)
    floats_from = 8 * sizes[0]
    buffer = torch.empty(floats_from + 4 * sizes[1], dtype=torch.uint8)
    raw = buffer.numpy()
    if sizes[0]:
        np.concatenate(list(ints.values()), out=raw[:floats_from].view(np.int64))
    if sizes[1]:
        np.concatenate(list(floats.values()), out=raw[floats_from:].view(np.float32))
    return JaggedBatch(buffer, users, counts, segments, floats_from)


def _realtime_order(lengths: list[np.ndarray], known_at: list[np.ndarray]) -> np.ndarray:
    """`JaggedBatch.realtime_order`, of the sequences' realtime parts."""
    none = np.empty(0, np.int64)
    user = np.concatenate([none, *(np.repeat(np.arange(len(of)), of) for of in lengths)])
    # Stable: what was known at one moment stands in the order of the sequences.
    return np.lexsort((np.concatenate([none, *known_at]), user)).astype(np.int64)


def _lengths(lists: pa.ListArray) -> np.ndarray:
    return np.diff(lists.offsets.to_numpy()).astype(np.int64)


def _numpy(values: pa.Array) -> np.ndarray:
    return values.to_numpy(zero_copy_only=False)
