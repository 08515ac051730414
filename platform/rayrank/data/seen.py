"""User rows as a ranker reads them: of what rows hold, what its view of the schema sees."""

import numpy as np
import pyarrow as pa

from rayrank.schema import Schema


def seen(rows: pa.Table, schema: Schema) -> pa.Table:
    """The rows, with the newest `keep` behaviours in the static part of each sequence, and none in
    the parts that `schema.emptied` names. Rows that hold no more are as they are. What they say of
    themselves, such as `tokens`, stays: it is what batches are packed by."""
    for group in (*schema.static, *schema.realtime):
        column = rows.schema.get_field_index(group.name)
        if column < 0:  # a batch may ask for some groups alone
            continue
        if group.part in schema.emptied:
            most = 0
        elif group.part == "static":
            most = schema.sequences[group.token].keep
        else:
            continue
        parts = rows[group.name].combine_chunks()
        offsets = parts.field("time").offsets.to_numpy().astype(np.int64)
        lengths = np.diff(offsets)
        if lengths.max(initial=0) > most:
            # Of each row the last ones: they ascend in time.
            places = np.arange(offsets[0], offsets[-1])
            from_end = np.repeat(offsets[1:], lengths) - places
            kept = np.flatnonzero(from_end <= most)
            field = rows.schema.field(column)
            rows = rows.set_column(column, field, taken(parts, kept, np.minimum(lengths, most)))
    return rows


def taken(parts: pa.StructArray, places: np.ndarray, lengths: np.ndarray) -> pa.StructArray:
    """A part of a sequence (or candidates) that holds, row after row, so many of its elements, at
    these places among all."""
    picked, ends = pa.array(places), np.concatenate([[0], np.cumsum(lengths)])
    offsets = pa.array(ends, pa.int32())
    fields = [
        pa.ListArray.from_arrays(offsets, parts.field(k).flatten().take(picked), of.type)
        for k, of in enumerate(parts.type)
    ]
    return pa.StructArray.from_arrays(fields, fields=list(parts.type))
