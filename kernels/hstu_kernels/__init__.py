"""HSTU's operations on jagged batches, for CPUs and GPUs; needs torch and triton alone."""

from .attention import hstu_attention
from .group_layer_norm import gated_group_layer_norm, group_layer_norm

__all__ = ["gated_group_layer_norm", "group_layer_norm", "hstu_attention"]
