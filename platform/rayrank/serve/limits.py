"""What one request, and all waiting ones together, may cost."""

from typing import Annotated

from pydantic import Field, model_validator

from rayrank.strict import Positive, Strict

PROFILE_TOKENS = 256
REQUEST_TIMEOUT_S = 10.0


class Limits(Strict):
    """Bounds that are checked before any work is done for a request."""

    body_bytes: Positive = 4 << 20
    """In one request."""
    users: Positive = 64
    """In one request."""
    candidates: Positive = 2048
    """In one request, of all users."""
    behaviours: Positive = 4096
    """In one request, in all sequences of all users."""
    list_ids: Positive = 256
    """Ids in one list-valued feature."""
    batch_tokens: Positive = 16_384
    """Tokens scored together, of the requests that wait when the engine is free."""
    clock_skew_ms: Annotated[int, Field(ge=0)] = 60_000
    """By how much a behaviour may be known after its request, as another clock has it. It counts as
    known at the request then; `rayrank_ahead_total` counts such."""
    body_timeout_ms: Positive = 9_000
    """How long a request's body may take to arrive. One that comes slowly holds a little memory and
    costs hardly anything; a client that is refused soon asks again soon."""
    bodies_bytes: Positive = 1 << 28
    """In all requests that a replica holds at once. What comes beyond is refused."""
    timeout_ms: Positive = 9_000
    """How long a request may take at most; clients say less in `X-Timeout-Ms`. What cannot be
    answered by then is refused at once."""

    @model_validator(mode="after")
    def _a_request_fits_a_batch(self) -> "Limits":
        if self.candidates + self.behaviours + PROFILE_TOKENS > self.batch_tokens:
            raise ValueError(
                f"batch_tokens must hold the largest request: candidates + behaviours + "
                f"{PROFILE_TOKENS} for the profile"
            )
        return self
