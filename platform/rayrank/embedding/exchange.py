"""Ids on their way to the ranks that own them: begun under the compute of the batch before."""

from typing import Any

import torch
from torchrec.sparse.jagged_tensor import KeyedJaggedTensor

from rayrank.embedding.hashing import mix


class Exchange:
    """The ids of one lookup in one of TorchRec's sharded collections, each once. Every method is
    collective."""

    def __init__(self, collection: Any, ids: dict[str, torch.Tensor]) -> None:
        """Begin to tell the others how many ids they are sent. ids: of each table of the
        collection, int64 [n]."""
        self._collection = collection
        self.keys: dict[str, torch.Tensor] = {}
        """The distinct ids of each table, mixed."""
        self.back: dict[str, torch.Tensor] = {}
        """Of each table int64 [n]: where among them each id stands."""
        for name, of in ids.items():
            self.keys[name], self.back[name] = torch.unique(mix(of), return_inverse=True)
        each = [len(keys) for keys in self.keys.values()]
        values = torch.cat(list(self.keys.values()))
        features = KeyedJaggedTensor(
            keys=list(ids), values=values, lengths=torch.tensor(each, device=values.device)
        )
        self._context = collection.create_context()
        self._counts = collection.input_dist(self._context, features)
        self._sent: Any = None

    def send(self) -> None:
        """The ids themselves, once all know how many. The host waits for the counts."""
        if self._sent is None:
            self._sent = self._counts.wait()

    def vectors(self) -> dict[str, torch.Tensor]:
        """Those of each table's `keys`, [keys, dim], from the ranks that own them."""
        self.send()
        arrived = self._sent.wait()
        found, _ = self._collection.compute_and_output_dist(self._context, arrived)
        return {name: found[name].values() for name in self.keys}
