"""One 64-bit id for whatever a company calls its users and items."""

import hashlib
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from rayrank.errors import DataError

IdType = Literal["integer", "string"]
IdTypes = dict[str, IdType]
"""Feature -> what its ids are outside: they are all int64 once encoded."""


def id_type(kind: pa.DataType) -> IdType:
    """Whether ids of an Arrow type (or lists of them) are strings."""
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return "string" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "integer"


def hash_string(value: str) -> int:
    """The id of a string: the first 8 bytes of its BLAKE2b digest as a signed integer."""
    digest = hashlib.blake2b(value.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def to_ids(values: pa.Array, where: str) -> pa.Array:
    """Integers as they are, strings hashed (once per distinct string), as int64; nulls stay.

    Raises DataError, saying `where`, for any other type.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return to_ids(values.dictionary, where).take(values.indices)
    if pa.types.is_boolean(kind):
        return values.cast(pa.int8()).cast(pa.int64())
    if pa.types.is_uint64(kind):
        # Above 2^63 the bits are kept and the sign is not: distinct ids stay distinct.
        return values.view(pa.int64())
    if pa.types.is_int64(kind):
        return values
    if pa.types.is_integer(kind):
        return values.cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = pc.dictionary_encode(values)
        hashed = pa.array([hash_string(s) for s in encoded.dictionary.to_pylist()], pa.int64())
        return hashed.take(encoded.indices)
    raise DataError(f"{where}: expected integers or strings for an id, found {kind}")
