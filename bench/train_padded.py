"""MTGR as rankers are trained without jagged operators: users of like length together, each padded
to the longest of its batch, dense scores under a mask, in plain PyTorch. The mathematics are
`MTGR`'s."""

from collections.abc import Iterator

import numpy as np
import torch
from hstu_kernels import jagged_concat
from rayrank.data.jagged import JaggedBatch
from rayrank.model.hstu import GroupLayerNorm, HSTULayer
from rayrank.model.mtgr import MTGR
from rayrank.model.sequence import sequence
from torch import Tensor
from torch.nn.functional import layer_norm, silu


class PaddedMTGR(MTGR):
    """The same weights and logits as MTGR's."""

    def forward(self, batch: JaggedBatch) -> Tensor:
        layout = sequence(batch, self.schema)
        tokens = self.tokenizer(batch, self.lookup(batch))
        x_TD = jagged_concat(tokens, layout.segment_offsets)
        lengths_B = layout.offsets.diff()
        place_N = torch.arange(int(lengths_B.max()) if batch.users else 0)
        there_BN = place_N < lengths_B[:, None]

        def padded(of_T: Tensor) -> Tensor:
            of_BN = of_T.new_zeros(*there_BN.shape, *of_T.shape[1:])
            return of_BN.index_put((there_BN,), of_T)

        seen_BNN = (place_N < padded(layout.visible_end)[:, :, None]) | (
            place_N == place_N[:, None]
        )
        x_BND, group_BN = padded(x_TD), padded(layout.group_T)
        for layer in self.layers:
            assert isinstance(layer, HSTULayer)
            x_BND = _layer(layer, x_BND, group_BN, seen_BNN & there_BN[:, None])
        candidates_B = layout.segment_offsets[-1].diff()
        last_BN = there_BN & (place_N >= (lengths_B - candidates_B)[:, None])
        return self._logits(x_BND[last_BN], self._candidate_groups(batch))


def _layer(layer: HSTULayer, x_BND: Tensor, group_BN: Tensor, seen_BNN: Tensor) -> Tensor:
    n_BND = _norm(layer.norm, x_BND, group_BN)
    u_BND, q_BND, k_BND, v_BND = silu(layer.project(n_BND)).chunk(4, -1)
    q_BHNE, k_BHNE, v_BHNE = (
        part.unflatten(-1, (layer.heads, -1)).transpose(1, 2) for part in (q_BND, k_BND, v_BND)
    )
    score_BHNN = q_BHNE @ k_BHNE.mT * q_BHNE.shape[-1] ** -0.5
    weight_BHNN = silu(score_BHNN) * seen_BNN[:, None]
    o_BND = (layer.scale * weight_BHNN @ v_BHNE).transpose(1, 2).flatten(2)
    gated_BND = _norm(layer.gate_norm, o_BND * u_BND, group_BN)
    return x_BND + layer.dropout(layer.output(gated_BND))


def _norm(norm: GroupLayerNorm, x_BND: Tensor, group_BN: Tensor) -> Tensor:
    normal_BND = layer_norm(x_BND, x_BND.shape[-1:], eps=1e-6)
    return normal_BND * norm.weight_GD[group_BN] + norm.bias_GD[group_BN]


def by_length(tokens: np.ndarray, budget: int, epoch: int) -> Iterator[np.ndarray]:
    """Batches of rows, int64 [rows] each: of like length, so many that what they are padded to is
    `budget` tokens at most; the batches in a random order."""
    order = np.argsort(tokens, kind="stable")[::-1]
    batches, first = [], 0
    while first < len(order):
        many = max(1, budget // int(tokens[order[first]]))
        batches.append(order[first : first + many])
        first += many
    for batch in np.random.default_rng(epoch).permutation(len(batches)):
        yield batches[batch]
