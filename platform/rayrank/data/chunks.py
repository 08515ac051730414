"""A log in parts that a task can hold: row groups of its files."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rayrank.data.log import Log, happened_columns, tables_needed
from rayrank.data.times import to_ms
from rayrank.schema import Schema

CHUNK_BYTES = 64 << 20
"""Of the columns that are read, decoded; a row group is never cut."""
SMALLER_ROW_GROUPS = "write the log's files with smaller row groups"
"""What helps who cannot hold a chunk."""


class Chunk(NamedTuple):
    """Some row groups of one file of a table."""

    table: str
    file: str
    row_groups: list[int]
    first_row: int
    """Of the file."""
    rows: int
    bytes: int
    """Of the columns that are read, as the file's footer estimates them decoded."""

    def __str__(self) -> str:
        """For errors, which count rows from the chunk's first one."""
        return f"{self.file}, from row {self.first_row} on" if self.first_row else self.file


def chunks_of(log: Log, schema: Schema, since_ms: int | None = None) -> list[Chunk]:
    """The chunks of what the schema reads, table by table, in the order of files and rows. Reads
    footers only.

    since_ms: row groups in which, by their statistics, nothing happened then or later are left out.
    """
    needed = tables_needed(schema)
    files = [(table, file) for table in needed for file in log.files(table)]

    def chunks(of: tuple[str, str]) -> list[Chunk]:
        table, file = of
        return _chunks_of(log, schema, table, file, needed[table], since_ms)

    with ThreadPoolExecutor() as pool:
        return [chunk for found in pool.map(chunks, files) for chunk in found]


def _chunks_of(
    log: Log, schema: Schema, table: str, file: str, columns: list[str], since_ms: int | None
) -> list[Chunk]:
    with log.open(file) as source:
        opened = pq.ParquetFile(source)
        footer, types = opened.metadata, opened.schema_arrow
    happened = happened_columns(schema, table)
    chunks: list[Chunk] = []
    first_row = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        leaves: dict[str, list[pq.ColumnChunkMetaData]] = {}
        for leaf in (group.column(index) for index in range(group.num_columns)):
            leaves.setdefault(leaf.path_in_schema.split(".")[0], []).append(leaf)
        if since_ms is None or not _is_over(leaves, happened, types, schema, since_ms):
            # What repeats is stored once (a dictionary), and comes out at full width.
            size = sum(
                max(leaf.total_uncompressed_size, 8 * leaf.num_values)
                for column in columns
                for leaf in leaves[column]
            )
            last = chunks[-1] if chunks else None
            if (
                last is not None
                and last.first_row + last.rows == first_row
                and last.bytes + size <= CHUNK_BYTES
            ):
                chunks[-1] = last._replace(
                    row_groups=[*last.row_groups, number],
                    rows=last.rows + group.num_rows,
                    bytes=last.bytes + size,
                )
            else:
                chunks.append(Chunk(table, file, [number], first_row, group.num_rows, size))
        first_row += group.num_rows
    return chunks


def _is_over(
    leaves: dict[str, list[pq.ColumnChunkMetaData]],
    happened: set[str],
    types: pa.Schema,
    schema: Schema,
    since_ms: int,
) -> bool:
    """Whether a row group's statistics say that all of it happened before a time."""
    for column in happened:
        kind = types.field(column).type
        for leaf in leaves[column]:
            if not leaf.is_stats_set or not leaf.statistics.has_min_max:
                return False
            last = pa.array([leaf.statistics.max], kind)
            last_ms = to_ms(last, schema.time_unit, f"column {column!r}", schema.timestamp_zone)
            if last_ms[0].as_py() >= since_ms:
                return False
    return bool(happened)
