"""How much a step counts: by its candidates, so that each of them counts alike in whichever step it
is. Batches cost alike and differ in candidates: those of long histories have few."""

import torch

KEPT = 0.99
"""Of what was before, at each step: the mean is over some hundred steps."""


class StepWeight:
    """A step's candidates, over their mean in the steps up to it."""

    def __init__(self, sums: torch.Tensor | None = None) -> None:
        """sums: as `state` gives them."""
        self._candidates: float
        self._steps: float
        self._candidates, self._steps = (0.0, 0.0) if sums is None else sums.tolist()

    def of(self, candidates: int) -> float:
        """Of the step that comes now; 1 of the first."""
        self._candidates = KEPT * self._candidates + candidates
        self._steps = KEPT * self._steps + 1
        return candidates * self._steps / self._candidates

    def state(self) -> torch.Tensor:
        """float64 [2]"""
        return torch.tensor([self._candidates, self._steps], dtype=torch.float64)
