"""How long batches take, learned from those that were: it says what can be answered in time."""

FORGETS = 0.95
"""What counts of a batch when the next one comes: the last twenty or so say how it is now."""


class Pace:
    """A part that every batch costs, and a part for each token, by weighted least squares."""

    def __init__(self) -> None:
        self._batches = self._tokens = self._seconds = 0.0
        self._tokens_tokens = self._tokens_seconds = 0.0

    def learn(self, tokens: int, seconds: float) -> None:
        """A batch of so many tokens took so long."""
        kept = FORGETS
        self._batches = kept * self._batches + 1
        self._tokens = kept * self._tokens + tokens
        self._seconds = kept * self._seconds + seconds
        self._tokens_tokens = kept * self._tokens_tokens + tokens * tokens
        self._tokens_seconds = kept * self._tokens_seconds + tokens * seconds

    def seconds(self, tokens: int, batches: int) -> float:
        """What so many tokens in so many batches take; 0 before anything was learned."""
        each, per_token = self._fit()
        return batches * each + tokens * per_token

    def _fit(self) -> tuple[float, float]:
        if not self._batches:
            return 0.0, 0.0
        tokens, seconds = self._tokens / self._batches, self._seconds / self._batches
        spread = self._tokens_tokens / self._batches - tokens * tokens
        together = self._tokens_seconds / self._batches - tokens * seconds
        # Where all were alike, or noise says that more tokens cost less, the whole is the tokens'.
        per_token = together / spread if spread > 1e-6 * tokens * tokens else -1.0
        each = seconds - per_token * tokens
        if per_token < 0 or each < 0:
            return 0.0, seconds / max(tokens, 1.0)
        return each, per_token
