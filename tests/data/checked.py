"""Reading a log as a build does: every value is looked at."""

from rayrank.data.chunks import chunks_of, read_chunk
from rayrank.data.encode import encode
from rayrank.data.joined import KEY_OF, JoinTable
from rayrank.data.log import Log, check_columns, tables_needed
from rayrank.data.prepare import prepare
from rayrank.schema import Schema


def check(log: Log, schema: Schema) -> None:
    check_columns(log, schema)
    needed = tables_needed(schema)
    for chunk in chunks_of(log, schema):
        raw = read_chunk(log, chunk, needed[chunk.table])
        rows = prepare(raw, schema, chunk.table, encode, str(chunk))
        for name in KEY_OF:
            if name == chunk.table:
                JoinTable.of(rows, schema, name, str(chunk))
