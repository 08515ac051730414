"""How rankers are evaluated."""

from rayrank.strict import Positive, Strict


class EvaluateConfig(Strict):
    """Scoring the test rows."""

    max_tokens: Positive = 16_384
    """Tokens per batch."""
    workers: Positive = 2
    bootstrap_samples: Positive = 200
    lightgbm_trees: Positive = 200
