"""Users' prefixes, kept from request to request within a number of bytes.

A row's static part (profile, what was done before the window) is known by a hash of its content:
who asks with another one has another prefix. Its realtime events follow one another, so that a row
with more of them needs only those that came after.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.jagged import to_jagged
from rayrank.model.prefix import Prefix, kept_bytes
from rayrank.schema import PROFILE, Schema


@dataclass(frozen=True)
class Kept:
    """The prefix of one user, and the realtime events that are in it."""

    prefix: Prefix
    realtime: pa.Table
    """One row: the window's start and the realtime columns."""
    bytes: int
    """Of the prefix."""


@dataclass(frozen=True)
class Found:
    """What there is of a row."""

    prefix: Prefix
    new: pa.Table
    """One row: the window's start, and the realtime columns with what came after the prefix."""
    more: bool
    """Whether anything came after it."""


class PrefixCache:
    """Least recently used goes first. Of one bundle, and for one thread."""

    def __init__(self, schema: Schema, max_bytes: int) -> None:
        """max_bytes: of the prefixes' tensors, all together."""
        self.schema, self.max_bytes, self.bytes = schema, max_bytes, 0
        self.encoded = self.extended = self.found = self.dropped = 0
        """How many rows had to be encoded, had more events, were there whole; and how many prefixes
        made room for others."""
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._columns = ["window_start", *(group.name for group in schema.realtime)]

    def __len__(self) -> int:
        return len(self._kept)

    def key(self, row: pa.Table) -> bytes:
        """Of the content of one row's static part and its window."""
        batch = to_jagged(row, self.schema, (PROFILE, *self.schema.static))
        return hashlib.blake2b(batch.buffer.numpy().data, digest_size=16).digest()

    def find(self, key: bytes, row: pa.Table) -> Found | None:
        """What is kept of the row that `key` is of; None where it must be encoded from the start:
        nothing is kept of it, or another past of its realtime events."""
        kept = self._kept.get(key)
        new = None if kept is None else _after(kept.realtime, row.select(self._columns))
        if kept is None or new is None:
            self.encoded += 1
            return None
        self._kept.move_to_end(key)
        more = any(len(_known_at(new[name])) for name in _realtime(new))
        self.extended += more
        self.found += not more
        return Found(kept.prefix, new, more)

    def keep(self, key: bytes, prefix: Any, row: pa.Table) -> None:
        """In place of what is kept under the key; whatever was used longest ago makes room. What
        does not fit at all is not kept."""
        self._drop(key)
        size = kept_bytes(prefix)
        if size > self.max_bytes:
            return
        while self.bytes + size > self.max_bytes:
            self._drop(next(iter(self._kept)))
            self.dropped += 1
        self._kept[key] = Kept(prefix, row.select(self._columns), size)
        self.bytes += size

    def _drop(self, key: bytes) -> None:
        dropped = self._kept.pop(key, None)
        if dropped is not None:
            self.bytes -= dropped.bytes


def _after(before: pa.Table, now: pa.Table) -> pa.Table | None:
    """`now` with those of its events that follow all of `before`'s; None where it does not begin
    with these, or another one was known before the last of them."""
    last = max((max(_known_at(before[name]), default=0) for name in _realtime(before)), default=0)
    new = {"window_start": now["window_start"]}
    for name in _realtime(now):
        old, whole = (table[name].combine_chunks() for table in (before, now))
        count = len(_known_at(before[name]))
        names = [field.name for field in whole.type]
        if not all(
            pc.list_slice(whole.field(field), 0, count).equals(old.field(field)) for field in names
        ):
            return None
        rest = [pc.list_slice(whole.field(field), count) for field in names]
        new[name] = pa.chunked_array([pa.StructArray.from_arrays(rest, names)])
        if min(_known_at(new[name]), default=last) < last:
            return None
    return pa.table(new)


def _realtime(columns: pa.Table) -> list[str]:
    return columns.column_names[1:]


def _known_at(column: pa.ChunkedArray) -> list[int]:
    """Of the one row's events, ms."""
    times: list[int] = column.combine_chunks().field("known_at").flatten().to_pylist()
    return times
