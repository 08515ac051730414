"""User rows as a ranker reads them that is told to take a part of all sequences for empty."""

import pyarrow as pa

from rayrank.schema import Schema


def emptied(rows: pa.Table, schema: Schema) -> pa.Table:
    """The rows, without a behaviour in the parts that `schema.emptied` names; else as they are.
    What they say of themselves, such as `tokens`, stays: it is what batches are packed by."""
    for group in (*schema.static, *schema.realtime):
        column = rows.schema.get_field_index(group.name)
        if group.part in schema.emptied and column >= 0:  # a batch may ask for some groups alone
            field = rows.schema.field(column)
            nothing: dict[str, list[object]] = {of.name: [] for of in field.type}
            empty = pa.array([nothing] * len(rows), field.type)
            rows = rows.set_column(column, field, empty)
    return rows
