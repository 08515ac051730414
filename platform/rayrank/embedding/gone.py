"""The ids of a table that went, and when: what somebody must forget who has an older copy."""

import torch

MOST = 1 << 22
"""That are remembered; of older ones only that there were some."""

STATE = ("keys", "steps", "since")


class Gone:
    """Of one table on one rank, in CPU memory."""

    def __init__(self) -> None:
        self._keys, self._steps = list[torch.Tensor](), list[torch.Tensor]()
        self._count = 0
        self.since = 0
        """The first step of which all that went are known."""

    def add(self, keys: torch.Tensor, step: int) -> None:
        """Keys int64 [n] went at the end of a step."""
        if len(keys):
            self._append(
                keys.to("cpu", copy=True), torch.full((len(keys),), step, dtype=torch.int32)
            )

    def state(self) -> dict[str, torch.Tensor]:
        """Keys int64 [n] and the step of each int32 [n], in the order in which they went; the
        first step of which all are known, int64 []."""
        return dict(zip(STATE, (*self._all(), torch.tensor(self.since)), strict=True))

    def load(self, keys: torch.Tensor, steps: torch.Tensor, since: int) -> None:
        """What `state` gave, or some of it."""
        self.since = max(self.since, since)
        self._append(keys, steps)

    def _append(self, keys: torch.Tensor, steps: torch.Tensor) -> None:
        self._keys.append(keys)
        self._steps.append(steps)
        self._count += len(keys)
        while self._count > MOST and len(self._keys) > 1:
            forgotten = self._steps.pop(0)
            self._count -= len(self._keys.pop(0))
            self.since = max(self.since, int(forgotten.max()) + 1 if len(forgotten) else 0)

    def _all(self) -> tuple[torch.Tensor, torch.Tensor]:
        none = torch.empty(0, dtype=torch.int64)
        return torch.cat([none, *self._keys]), torch.cat([none.int(), *self._steps])

    def from_step(self, step: int) -> torch.Tensor:
        """int64: the keys that went at the end of this step or later; some may be back."""
        keys, steps = self._all()
        return keys[steps >= step]
