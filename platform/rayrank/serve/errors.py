"""Refusals: an HTTP status, the field at fault, and what was expected of it."""


class RequestError(Exception):
    """A request that cannot be served as it is."""

    def __init__(
        self, status: int, field: str, message: str, retry_after_s: float | None = None
    ) -> None:
        """retry_after_s: when the same request may succeed."""
        super().__init__(f"{field}: {message}")
        self.status, self.field, self.message = status, field, message
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, dict[str, str]]:
        """What the client is sent."""
        return {"error": {"field": self.field, "message": self.message}}
