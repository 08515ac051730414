"""Ray tasks of a build: what one says when it fails is the fault itself, and no fault is retried.

Ray retries what ran out of memory for ever, and wraps what is raised in its own traceback.
"""

from collections.abc import Callable, Iterator
from typing import Any

import ray
import ray.exceptions
from ray.remote_function import RemoteFunction

from rayrank.errors import DataError, RayrankError


def task(run: Callable[..., Any], name: str, returns: int = 1) -> RemoteFunction:
    """A task of one core by this name. Returning several values, a fault of the user's data
    comes as the first of them."""

    def guarded(*arguments: Any) -> Any:
        try:
            return run(*arguments)
        except RayrankError as error:
            return error if returns == 1 else (error, *[None] * (returns - 1))

    remote = ray.remote(num_cpus=1, max_retries=0, num_returns=returns)(guarded)
    return remote.options(name=name)


def values_of(refs: list[Any], what_to_change: str) -> Iterator[Any]:
    """The tasks' (first) values, in order. Raises the first fault that one returned, in order, and
    DataError for one that died; what_to_change: what helps where memory ran out."""
    for ref in refs:
        try:
            value = ray.get(ref)
        except ray.exceptions.OutOfMemoryError as error:
            raise DataError(f"a task ran out of memory; {what_to_change}\n{error}") from None
        except (ray.exceptions.WorkerCrashedError, ray.exceptions.ObjectLostError) as error:
            raise DataError(
                f"a task was lost with its worker or node; run the build again ({error})"
            ) from None
        if isinstance(value, RayrankError):
            raise value
        yield value
