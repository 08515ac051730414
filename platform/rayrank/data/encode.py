"""A raw column becomes what a user row stores: ids as int64, numbers as float32.

The builder and the request parser both come through here, so that a value means the same in
training and in serving.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rayrank.data.ids import hash_string, to_ids
from rayrank.errors import DataError
from rayrank.schema import Feature


def stored_type(feature: Feature) -> pa.DataType:
    """The Arrow type of one element of `feature` in a user row."""
    if feature.kind == "number":
        return pa.float32()
    if feature.width is not None:
        return pa.list_(pa.float32(), feature.width)
    return pa.list_(pa.int64()) if feature.kind == "ids" else pa.int64()


def encode(values: pa.Array | pa.ChunkedArray, feature: Feature, where: str) -> pa.Array:
    """Encode a flat raw column, [n] -> [n] of `stored_type(feature)`, without nulls.

    Raises DataError, saying `where`, for a type that does not fit, a value that is missing and
    has no default, and a number that is not finite.
    """
    values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if feature.kind == "ids":
        return _encode_lists(values, feature.limit, where)
    if feature.kind == "id":
        return _fill(
            to_ids(values, where)
            if values.null_count < len(values)
            else pa.nulls(len(values), pa.int64()),
            _default_id(feature),
            where,
        )
    if feature.width is not None:
        return _encode_vectors(values, feature, feature.width, where)
    # Null, or NaN: pandas' word for missing.
    array = _numbers(values, where).to_numpy(zero_copy_only=False)
    missing = np.isnan(array)
    if missing.any():
        if feature.default is None:
            raise _missing(missing, where)
        array = np.where(missing, float(feature.default), array)
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array)))
        raise DataError(f"{where}: row {row} holds {array[row]}, expected a finite number")
    if feature.kind == "bucket":
        edges = np.asarray(feature.boundaries)
        return pa.array(np.searchsorted(edges, array, side="right").astype(np.int64))
    if feature.transform == "log1p":
        if (array < 0).any():
            row = int(np.argmax(array < 0))
            raise DataError(f"{where}: row {row} holds {array[row]}; log1p needs numbers from 0")
        array = np.log1p(array)
    with np.errstate(over="ignore"):
        stored = array.astype(np.float32)
    if not np.isfinite(stored).all():
        row = int(np.argmin(np.isfinite(stored)))
        raise DataError(f"{where}: row {row} holds {array[row]}, too large for a float32")
    return pa.array(stored)


def _encode_vectors(values: pa.Array, feature: Feature, width: int, where: str) -> pa.Array:
    kind = values.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind) or pa.types.is_null(kind)):
        raise DataError(f"{where}: expected vectors (lists of {width} numbers), found {kind}")
    if pa.types.is_null(kind):
        values = values.cast(pa.list_(pa.float32(), width))
    missing = values.is_null().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(values).fill_null(width).to_numpy(zero_copy_only=False)
    if (lengths != width).any():
        row = int(np.argmax(lengths != width))
        raise DataError(f"{where}: row {row} holds {lengths[row]} numbers, expected {width}")
    if missing.any() and feature.default is None:
        raise DataError(
            f"{where}: row {int(missing.argmax())} is missing ({int(missing.sum())} of "
            f"{len(values)} are); expected a vector, or a default in the schema"
        )
    vectors = np.full((len(values), width), feature.default or 0, np.float64)
    flat = _numbers(values.drop_null().flatten(), where).to_numpy(zero_copy_only=False)
    vectors[~missing] = flat.reshape(-1, width)
    with np.errstate(over="ignore"):
        vectors = vectors.astype(np.float32)
    finite = np.isfinite(vectors)
    if not finite.all():
        row, place = np.argwhere(~finite)[0]
        raise DataError(f"{where}: row {row} holds {vectors[row, place]}, expected finite numbers")
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)


MOST_IDS = 1000
"""In a list, where the schema says no limit."""


def lists_cut(values: pa.ChunkedArray, feature: Feature) -> int:
    """How many lists of a raw column `encode` cuts to the feature's limit."""
    if feature.limit is None or pa.types.is_null(values.type):
        return 0
    longer = pc.sum(pc.greater(pc.list_value_length(values), feature.limit)).as_py()
    return int(longer or 0)


def _encode_lists(values: pa.Array, limit: int | None, where: str) -> pa.Array:
    kind = values.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_null(kind)):
        raise DataError(f"{where}: expected a list of ids, found {kind}")
    if pa.types.is_null(kind):
        values = values.cast(pa.list_(pa.int64()))
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    if limit is not None:
        values = pc.list_slice(values, 0, limit)
        lengths = np.minimum(lengths, limit)
    elif len(lengths) and lengths.max() > MOST_IDS:
        row, most = int(lengths.argmax()), int(lengths.max())
        raise DataError(
            f"{where}: row {row} holds a list of {most:,} ids, more than {MOST_IDS:,}; shorten it, "
            "or say how many of them count (limit in the schema)"
        )
    values = values.cast(pa.list_(values.type.value_type))
    flat = values.flatten()
    ids = pa.array([], pa.int64()) if len(flat) == 0 else to_ids(flat, where)
    if ids.null_count:
        raise DataError(f"{where}: a list holds a missing id")
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), ids)


def _numbers(values: pa.Array, where: str) -> pa.Array:
    kind = values.type
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    elif not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_null(kind)
        or pa.types.is_decimal(kind)
    ):
        raise DataError(f"{where}: expected numbers, found {kind}")
    return values if pa.types.is_float64(values.type) else values.cast(pa.float64(), safe=False)


def _default_id(feature: Feature) -> int | None:
    if feature.default is None or isinstance(feature.default, int):
        return feature.default
    return hash_string(str(feature.default))


def _fill(ids: pa.Array, default: int | None, where: str) -> pa.Array:
    if ids.null_count == 0:
        return ids
    if default is None:
        raise _missing(ids.is_null().to_numpy(zero_copy_only=False), where)
    return pc.fill_null(ids, default)


def _missing(missing: np.ndarray, where: str) -> DataError:
    return DataError(
        f"{where}: row {int(missing.argmax())} is missing ({int(missing.sum())} of {len(missing)} "
        "are); expected a value, or a default in the schema"
    )
