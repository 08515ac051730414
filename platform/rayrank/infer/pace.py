"""How long batches take, learned from those that were: it says what can be answered in time."""

import math

FORGETS = 0.95
"""What counts of a batch when the next one comes: the last twenty or so say how it is now."""
SURE = 2.0
"""Mean errors that are added to what is expected. Of errors as the normal distribution has them,
one batch in twenty takes longer."""


class Pace:
    """A part that every batch costs, and a part for each token, by weighted least squares."""

    def __init__(self) -> None:
        self._batches = self._tokens = self._seconds = 0.0
        self._tokens_tokens = self._tokens_seconds = 0.0
        self._errors = 0.0

    def learn(self, tokens: int, seconds: float) -> None:
        """A batch of so many tokens took so long."""
        kept = FORGETS
        self._batches = kept * self._batches + 1
        self._tokens = kept * self._tokens + tokens
        self._seconds = kept * self._seconds + seconds
        self._tokens_tokens = kept * self._tokens_tokens + tokens * tokens
        self._tokens_seconds = kept * self._tokens_seconds + tokens * seconds
        expected = self.seconds(tokens, 1)
        error = abs(seconds - expected) / expected if expected else 0.0
        self._errors = kept * self._errors + error

    def seconds(self, tokens: int, batches: int) -> float:
        """What so many tokens in so many batches take; 0 before anything was learned."""
        each, per_token = self._fit()
        return batches * each + tokens * per_token

    def surely(self, tokens: int, batches: int) -> float:
        """What they hardly ever exceed: with room for how far batches were from what was expected
        of them, as a share of it."""
        error = self._errors / self._batches if self._batches else 0.0
        return self.seconds(tokens, batches) * (1 + SURE * error)

    def worth(self) -> float:
        """Tokens that take as long as what every batch costs beside them: in a batch of fewer,
        most of the time is not theirs. Infinite where tokens cost nothing."""
        each, per_token = self._fit()
        return each / per_token if per_token else math.inf if each else 0.0

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
