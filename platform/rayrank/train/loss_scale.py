"""Losses are scaled up before the backward pass in float16, whose smallest numbers are not small
enough for gradients, and gradients down again (Micikevicius et al., arXiv 1710.03740)."""

START = 2.0**16
GROWS_AFTER = 2000
"""Steps in a row without a gradient that is not finite, after which the scale is doubled."""


class LossScale:
    """Halved where a gradient overflows, which costs that step; doubled where none did for long."""

    def __init__(self, value: float, good: int = 0) -> None:
        """value: 1 for precisions that need none; it then stays. good: steps since it changed."""
        self.value, self.good = value, good
        self._fixed = value == 1

    def overflowed(self) -> bool:
        """A gradient is not finite: whether a smaller scale may mend that."""
        if self._fixed or self.value <= 1:
            return False
        self.value, self.good = self.value / 2, 0
        return True

    def went_well(self) -> None:
        """A step had finite gradients."""
        self.good += 1
        if not self._fixed and self.good == GROWS_AFTER:
            self.value, self.good = self.value * 2, 0
