"""Which ids a rank owns, as one of TorchRec's managed-collision modules."""

import torch
from torchrec.modules.mc_modules import ManagedCollisionModule
from torchrec.sparse.jagged_tensor import JaggedTensor

from rayrank.embedding.budget import Rules, Width
from rayrank.embedding.pool import Pool


class OwnedIds(ManagedCollisionModule):
    """The ids one rank owns of the tables of one width, and their rows in its shard.

    TorchRec has one table for all of them, with a feature for each.
    """

    def __init__(
        self,
        width: Width,
        rules: dict[str, Rules],
        rows: tuple[int, int],
        world_size: int,
        held: int = 0,
        device: torch.device | None = None,
    ) -> None:
        """rows: first and last of the shard, among those of all ranks. held: of them those that are
        this rank's; none before TorchRec says which."""
        device = device or torch.device("cpu")
        super().__init__(device, output_segments=list(rows), skip_state_validation=True)
        self._told, self._rows, self._world_size = (width, rules), rows, world_size
        self.pool, self.step = Pool(width.tables, held, rules, device), 0

    def remap(
        self,
        features: dict[str, JaggedTensor],
        mutate_miss_lengths: bool = True,
        write_weights: torch.Tensor | None = None,
    ) -> dict[str, JaggedTensor]:
        """From keys to rows: of all features end to end, whose sizes TorchRec tells as weights."""
        ((table, jagged),) = features.items()
        parts = jagged.values().split(jagged.weights().tolist())
        rows = [self._rows_of(*of) for of in zip(self.pool.tables, parts, strict=True)]
        found = torch.cat(rows) + self._rows[0]
        return {table: JaggedTensor(values=found, lengths=jagged.lengths())}

    def _rows_of(self, name: str, keys: torch.Tensor) -> torch.Tensor:
        if self.training:
            return self.pool.seen_in(self.step, name, keys)
        return self.pool.find(name, keys)

    def rebuild_with_output_id_range(
        self,
        output_id_range: tuple[int, int],
        output_segments: list[int],
        device: torch.device | None = None,
    ) -> "OwnedIds":
        width, rules = self._told
        return OwnedIds(width, rules, output_id_range, self._world_size, width.rows, device)

    def input_size(self) -> int:
        return 0  # to TorchRec: ids of unbounded range, dealt by value

    def output_size(self) -> int:
        return self._rows[1] - self._rows[0]

    def buckets(self) -> int:
        return self._world_size

    def open_slots(self) -> torch.Tensor:
        return self.pool.rows - self.pool.count

    def evict(self) -> None:
        return None  # ids go at the end of a step (`room`)

    def preprocess(self, features: dict[str, JaggedTensor]) -> dict[str, JaggedTensor]:
        return features

    def profile(self, features: dict[str, JaggedTensor]) -> dict[str, JaggedTensor]:
        return features

    def forward(
        self, features: dict[str, JaggedTensor], mutate_miss_lengths: bool = True
    ) -> dict[str, JaggedTensor]:
        return self.remap(features)

    def validate_state(self) -> None:
        return None
