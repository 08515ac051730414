"""How rankers are evaluated."""

from rayrank.strict import Positive, Strict


class EvaluateConfig(Strict):
    """Scoring the test rows."""

    max_tokens: Positive = 16_384
    """Tokens per batch."""
    workers: Positive = 2
    """Processes that score."""
    bootstrap_samples: Positive = 200
    """Draws of users, for standard errors."""
    lightgbm_trees: Positive = 200
    """Of the gradient-boosting baseline."""
