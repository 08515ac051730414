"""Which ids a rank owns, as one of TorchRec's managed-collision modules."""

import torch
from torchrec.modules.mc_modules import ManagedCollisionModule
from torchrec.sparse.jagged_tensor import JaggedTensor

from rayrank.embedding.id_map import id_map
from rayrank.embedding.tables import slots_of


class OwnedIds(ManagedCollisionModule):
    """The ids one rank owns of one table, and their rows in its shard."""

    def __init__(
        self,
        name: str,
        capacity: int,
        rows: tuple[int, int],
        world_size: int,
        device: torch.device | None = None,
    ) -> None:
        device = device or torch.device("cpu")
        super().__init__(device, output_segments=list(rows), skip_state_validation=True)
        self.name, self.capacity, self._rows, self._world_size = name, capacity, rows, world_size
        self.map = id_map(device)

    def remap(
        self,
        features: dict[str, JaggedTensor],
        mutate_miss_lengths: bool = True,
        write_weights: torch.Tensor | None = None,
    ) -> dict[str, JaggedTensor]:
        return {
            key: JaggedTensor(values=self._row_of(jagged.values()), lengths=jagged.lengths())
            for key, jagged in features.items()
        }

    def _row_of(self, ids: torch.Tensor) -> torch.Tensor:
        return slots_of(self.map, ids, self.training, self.capacity, self.name) + self._rows[0]

    def rebuild_with_output_id_range(
        self,
        output_id_range: tuple[int, int],
        output_segments: list[int],
        device: torch.device | None = None,
    ) -> "OwnedIds":
        return OwnedIds(self.name, self.capacity, output_id_range, self._world_size, device)

    def input_size(self) -> int:
        return 0  # to TorchRec: ids of unbounded range, dealt by value

    def output_size(self) -> int:
        return self._rows[1] - self._rows[0]

    def buckets(self) -> int:
        return self._world_size

    def open_slots(self) -> torch.Tensor:
        return torch.tensor([self.capacity - len(self.map)])

    def evict(self) -> None:
        return None

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
