"""What a body tells, in any of its forms: users, each a mapping of sections, and how to rank.

JSON (lists are columns) and Arrow IPC (a table with a row for each user, whose structs and lists
are the same sections and columns) have the same fields. Both may be compressed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import pyarrow as pa

from rayrank.serve.errors import RequestError

Form = Literal["application/json", "application/vnd.apache.arrow.stream"]
JSON: Form = "application/json"
ARROW: Form = "application/vnd.apache.arrow.stream"
ENCODINGS = ("gzip", "zstd")
PARTS = ("users", "ranking")
"""Of the JSON of several users."""


@dataclass(frozen=True)
class Told:
    """The content of a body, not yet checked against a schema."""

    users: list[Any]
    """Of each, as a rule, a mapping: of columns to lists, or to Arrow arrays."""
    several: bool
    """Whether it was told as several users, though there may be one."""
    ranking: Any
    """None where nothing is said of it."""


def form_of(content_type: str) -> Form:
    """What a header `Content-Type` stands for: Arrow where it says so, JSON else."""
    return ARROW if content_type.partition(";")[0].strip().lower() == ARROW else JSON


def plain(body: bytes, encoding: str, most: int) -> bytes:
    """A body without its `Content-Encoding`. Raises RequestError: 415 for an encoding of no name,
    400 for one that it is not in, 413 beyond `most` bytes."""
    encoding = encoding.strip().lower() or "identity"
    if encoding == "identity":
        return body
    if encoding not in ENCODINGS:
        told = f"expected {', '.join(ENCODINGS)} or identity, found {encoding!r:.40}"
        raise RequestError(415, "Content-Encoding", told)
    found = bytearray()
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), encoding) as stream:
            while chunk := stream.read(most + 1 - len(found)):
                found += chunk
                if len(found) > most:
                    raise RequestError(413, "(body)", f"is larger than {most} bytes uncompressed")
    except (OSError, pa.ArrowInvalid):
        raise RequestError(400, "(body)", f"is not {encoding}") from None
    return bytes(found)


def read_body(body: bytes, form: Form) -> Told:
    """What it tells. Raises RequestError with status 400 where it is not of its form."""
    return _arrow(body) if form == ARROW else _json(body)


def _json(body: bytes) -> Told:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, "(body)", f"is not JSON in UTF-8: {error}"[:200]) from None
    if not isinstance(content, dict):
        raise RequestError(422, "(body)", "expected an object")
    if "users" not in content:
        ranking = content.pop("ranking", None)
        return Told([content], False, ranking)
    for name in content.keys() - set(PARTS):
        raise RequestError(422, name, "unknown field beside users; expected ranking or nothing")
    users = content["users"]
    if not isinstance(users, list):
        raise RequestError(422, "users", "expected a list of objects")
    return Told(users, True, content.get("ranking"))


def _arrow(body: bytes) -> Told:
    try:
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        table.validate(full=True)  # offsets that a client made up may point anywhere
        columns = {name: _whole(table[name]) for name in table.column_names}
        users = [_user(columns, row) for row in range(len(table))]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # names may be no text
        raise RequestError(400, "(body)", f"is not an Arrow IPC stream: {error}"[:200]) from None
    try:
        ranking = orjson.loads((table.schema.metadata or {}).get(b"ranking", b"null"))
    except orjson.JSONDecodeError:
        raise RequestError(422, "ranking", "the schema's metadata holds no JSON there") from None
    return Told(users, True, ranking)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    """Of one chunk, as a body of one batch has them, without a copy."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _user(columns: Mapping[str, pa.Array], row: int) -> dict[str, Any]:
    """A row, its structs as mappings and the lists in them as arrays; without what is null."""
    told: dict[str, Any] = {}
    for name, column in columns.items():
        if pa.types.is_struct(column.type) and name != "profile":
            if not column.null_count or column[row].is_valid:
                told[name] = _user(_fields(column), row)
            continue
        scalar = column[row]
        if not scalar.is_valid:
            continue
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            told[name] = scalar.values
        else:
            told[name] = scalar.as_py()
    return told


def _fields(column: pa.StructArray) -> dict[str, pa.Array]:
    return {field.name: column.field(place) for place, field in enumerate(column.type)}
