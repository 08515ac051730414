"""A column of outcomes becomes labels: 0, 1, a number, or unknown."""

import operator

import numpy as np
import pyarrow as pa

from rayrank.errors import DataError
from rayrank.schema import Task

SIGNS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}

LARGEST = float(np.finfo(np.float32).max)


def to_labels(values: pa.Array, task: Task, where: str) -> np.ndarray:
    """float32 [n] of 0 and 1, or of numbers from 0 for a task that is one; NaN where a value is
    null or NaN, and so unknown.

    Raises DataError, saying `where`, for values that are no numbers (or booleans), for numbers that
    are negative or infinite, and for others than 0 and 1 where the task compares them with nothing.
    """
    kind = values.type
    kinds = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
    if not any(is_kind(kind) for is_kind in kinds):
        compared = task.comparison or task.kind == "number"
        expected = "numbers" if compared else "a label of 0 and 1"
        raise DataError(f"{where}: expected {expected}, found {kind}")
    numbers = values.cast(pa.int8()) if pa.types.is_boolean(kind) else values
    numbers = numbers.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    unknown = np.isnan(numbers)
    if task.comparison is not None:
        labels = SIGNS[task.comparison.sign](numbers, task.comparison.bound)
        return np.where(unknown, np.nan, labels).astype(np.float32)
    if task.kind == "number":
        wrong, expected = ~unknown & ~((numbers >= 0) & (numbers <= LARGEST)), "a number from 0"
    else:
        wrong, expected = ~unknown & (numbers != 0) & (numbers != 1), "a label of 0 or 1"
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{where}: row {row} holds {values[row].as_py()!r}, expected {expected}")
    return numbers.astype(np.float32)
