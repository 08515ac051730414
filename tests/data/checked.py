"""Reading a log as a build does: every value is looked at."""

from rayrank.data.chunks import chunks_of
from rayrank.data.encode import encode
from rayrank.data.joined import KEY_OF, JoinTable
from rayrank.data.log import Log, check_columns, tables_needed
from rayrank.data.prepare import prepare
from rayrank.schema import Schema


def check(log: Log, schema: Schema) -> None:
    check_columns(log, schema)
    needed = tables_needed(schema)
    for chunk in chunks_of(log, schema):
        raw = log.read_file(chunk.file, needed[chunk.table], chunk.row_groups)
        rows = prepare(raw, schema, chunk.table, encode, str(chunk))
        for name in KEY_OF:
            if name == chunk.table:
                JoinTable.of(rows, schema, name, str(chunk))
