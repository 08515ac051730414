"""HSTU's operations on jagged batches, for CPUs and GPUs; needs torch and triton alone."""

from .attention import hstu_attention
from .group_layer_norm import gated_group_layer_norm, group_layer_norm
from .jagged_concat import jagged_concat, jagged_split
from .linear_silu import linear_silu

__all__ = [
    "gated_group_layer_norm",
    "group_layer_norm",
    "hstu_attention",
    "jagged_concat",
    "jagged_split",
    "linear_silu",
]
