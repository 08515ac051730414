"""What one rank holds of the tables of one width: ids, vectors, optimizer state."""

from collections.abc import Mapping

import torch

from rayrank.embedding.budget import Width
from rayrank.embedding.owned_ids import OwnedIds
from rayrank.embedding.snapshot import Snapshot
from rayrank.embedding.tables import ShardRows


class Shard:
    """Rows 1, 2, … of the tensors are the pool's."""

    def __init__(
        self, width: Width, owned: OwnedIds, weights: torch.Tensor, momentum: torch.Tensor
    ) -> None:
        """weights: float32 [rows + 1, dim], what was learned. momentum: float32 [rows + 1], the
        accumulated squared gradients of row-wise Adagrad. Both as the optimizer changes them."""
        self.width, self.owned, self.pool = width, owned, owned.pool
        self.weights, self.momentum = weights.detach(), momentum.detach()
        self._snapshot: Snapshot | None = None

    def before_change(self, rows: torch.Tensor) -> None:
        """Of distinct rows, int64 [n]: who reads this shard as it was still can."""
        if self._snapshot is not None:
            self._snapshot.before_change(rows)

    def drop(self, gone: torch.Tensor, step: int) -> None:
        """Forget the ids of rows `gone`, int64 ascending, and all that was learned of them, at the
        end of a step."""
        moved = self.pool.drop(gone, step)
        freed = torch.arange(moved.freed.start, moved.freed.stop, device=gone.device)
        self.before_change(torch.cat([moved.target, freed]))
        for values in (self.weights, self.momentum):
            values[moved.target] = values[moved.source]
            values[moved.freed] = 0

    def snapshot(self) -> Snapshot:
        """This shard as it is now; the one before is over."""
        self._snapshot = Snapshot(self.pool, self.weights, self.momentum)
        return self._snapshot

    def forget_snapshot(self) -> None:
        """It has been read, or nobody will."""
        self._snapshot = None

    def load(self, rows: Mapping[str, ShardRows]) -> None:
        """Add rows of some of its tables, distinct ids that are not there, in the order in which
        they stood. Raises CapacityError where they are too many."""
        mine = {name: part for name, part in rows.items() if name in self.width.tables}
        if not mine:
            return
        to = self.pool.load(mine)
        for name, part in mine.items():
            self.weights[to[name]] = part.vectors.to(self.weights.device)
            self.momentum[to[name]] = part.momentum.to(self.momentum.device)
