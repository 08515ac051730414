"""Refusals: an HTTP status, the field at fault, and what was expected of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

MOST_TOLD = 20
"""Faults of one request that an answer lists."""


class Fault(NamedTuple):
    """One thing that is wrong with a request."""

    field: str
    message: str


class RequestError(Exception):
    """A request that cannot be served as it is."""

    def __init__(
        self,
        status: int,
        field: str,
        message: str,
        retry_after_s: float | None = None,
        others: tuple[Fault, ...] = (),
    ) -> None:
        """retry_after_s: when the same request may succeed. others: what else is wrong with it."""
        super().__init__(f"{field}: {message}")
        self.status, self.field, self.message = status, field, message
        self.retry_after_s = retry_after_s
        self.faults = (Fault(field, message), *others)

    def body(self) -> dict[str, dict[str, Any]]:
        """What the client is sent: the first fault, and all of them as far as is told."""
        told = [fault._asdict() for fault in self.faults[:MOST_TOLD]]
        more = len(self.faults) - len(told)
        return {
            "error": {"field": self.field, "message": self.message, "faults": told, "more": more}
        }


class Faults:
    """What is found wrong with a request, so that one answer tells it all."""

    def __init__(self) -> None:
        self._found: list[RequestError] = []

    def __len__(self) -> int:
        return len(self._found)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A RequestError inside ends what is inside, and is kept."""
        try:
            yield
        except RequestError as error:
            self.note(error)

    def note(self, error: RequestError) -> None:
        """Keep it."""
        self._found.append(error)

    def demand_none(self) -> None:
        """Raises the first one, with all others, if there is any."""
        if self._found:
            first, *others = self._found
            told = tuple(fault for error in others for fault in error.faults)
            raise RequestError(first.status, first.field, first.message, others=told)
