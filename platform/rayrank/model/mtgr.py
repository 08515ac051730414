"""MTGR (arXiv 2505.18654): a user's whole sequence in, a logit per task and candidate out."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from hstu_kernels import jagged_concat
from pydantic import Field, model_validator
from torch import nn
from torch.nn.functional import pad

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.features import Scales, Vectors, mlp
from rayrank.model.flops import attended, hstu_flops, linear_flops
from rayrank.model.hstu import EncoderLayer, GroupLayerNorm, HSTULayer
from rayrank.model.parts import Jagged
from rayrank.model.prefix import HSTUPrefix
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.model.sequence import (
    Mask,
    known_before,
    realtime_groups,
    realtime_of,
    sequence,
    users_of,
)
from rayrank.model.tokenizer import Tokenizer
from rayrank.schema import CANDIDATES, Schema
from rayrank.strict import Share

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"layers": 2, "d_model": 64, "heads": 2},
    "small": {"layers": 3, "d_model": 512, "heads": 2},
    "middle": {"layers": 5, "d_model": 768, "heads": 3},
    "large": {"layers": 15, "d_model": 768, "heads": 3},
    "xlarge": {"layers": 22, "d_model": 1024, "heads": 4},
}
"""The paper's (table 2), and `tiny` for CPUs."""


class EncoderConfig(ModelConfig):
    """What every config of an encoder of one sequence per user has."""

    size: Literal["tiny", "small", "middle", "large", "xlarge"] | None = "tiny"
    """Fills in layers, d_model and heads where they are not said."""
    layers: Annotated[int, Field(gt=0)]
    """Of the HSTU encoder."""
    d_model: Annotated[int, Field(gt=0)]
    """The width of a token."""
    heads: Annotated[int, Field(gt=0)]
    """Of the attention; d_model / heads is a whole number from 16 to 256."""
    attention_length: Annotated[int, Field(gt=0)] = 256
    """N of the attention's 1/N: a constant, so that scores depend on nobody else's length."""
    dropout: Share = 0.0
    """Of each layer's output."""
    embedding_dropout: Share = 0.0
    """Of the vectors of ids, before they become tokens."""
    mask: Mask = "dynamic"
    """What a token of profile or history sees of profile and history: all of it, or (`causal`) what
    stands before it. Nobody sees the window's later events, or other candidates, by either."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in_the_size(cls, values: Any) -> Any:
        if isinstance(values, dict):
            size = values.get("size", "tiny")
            return {**SIZES.get(size if isinstance(size, str) else "", {}), **values}
        return values

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.d_model % self.heads or not 16 <= self.d_model // self.heads <= 256:
            raise ValueError("d_model / heads must be a whole number from 16 to 256")
        return self


class MTGRConfig(EncoderConfig):
    """MTGR: one sequence per user, an HSTU encoder, a head per task. `mask`, `norms` and `gate` are
    for ablations."""

    kind: str = "mtgr"
    """Which model this configures."""
    norms: Literal["group", "one"] = "group"
    """Whether each group of tokens has a gain and bias of its own in the norms."""
    gate: bool = True
    """Whether what a token took is multiplied by its u. Without, there is no u."""

    def pair_in_tokens(self) -> float:
        """Of a layer that is not the last: two products of d_model each for a pair, and five (or
        four, without a gate) of d_model^2 for a token. Rows count the pairs of the dynamic mask,
        for either: the causal one leaves about half of the static ones, and balance is a little off
        there, but an ablation needs no rows of its own."""
        return 2 / ((5 if self.gate else 4) * self.d_model)


class MTGR(Ranker):
    """Tokenizer, HSTU encoder, one head per task."""

    Config: ClassVar[type[EncoderConfig]] = MTGRConfig
    Prefix = HSTUPrefix

    def __init__(
        self, schema: Schema, config: EncoderConfig, tables: Tables, scales: Scales
    ) -> None:
        super().__init__(schema, tables)
        self.mask = config.mask
        self.tokenizer = Tokenizer(schema, config.d_model, config.embedding_dropout, scales)
        layers = [self.layer(config) for _ in range(config.layers)]
        self.layers = nn.ModuleList(layers)
        self.norm = GroupLayerNorm(layers[0].norm.groups, config.d_model)
        self.heads = nn.ModuleList(mlp(config.d_model, 2 * config.d_model, 1) for _ in schema.tasks)

    def layer(self, config: EncoderConfig) -> EncoderLayer:
        """One of the encoder: all in which an HSTU of another kind differs."""
        assert isinstance(config, MTGRConfig)
        return HSTULayer(
            len(self.schema.groups) if config.norms == "group" else 1,
            config.d_model,
            config.heads,
            config.attention_length,
            config.dropout,
            config.gate,
        )

    def forward(self, batch: JaggedBatch) -> torch.Tensor:
        """logits_CK: encoding and scoring in one pass, with one attention per layer. The
        mathematics are those of the two in a row."""
        layout = sequence(batch, self.schema, self.mask)
        tokens = self.tokenizer(batch, self.lookup(batch))
        x_TD = jagged_concat(tokens, layout.segment_offsets)
        *layers, last = self.layers
        for layer in layers:
            x_TD = self.through(layer, x_TD, layout)
        c_CD = self.through(last, x_TD, layout, True)
        return self._logits(c_CD, self._candidate_groups(batch))

    def blocks(self) -> Sequence[nn.Module]:
        return list(self.layers)

    def forward_flops(self, batch: JaggedBatch) -> torch.Tensor:
        """Of the tokenizer, the encoder and the heads."""
        layer = self.layers[0]
        assert isinstance(layer, EncoderLayer)
        given = attended(batch, self.schema, self.mask)
        encoder = hstu_flops(
            len(self.layers), layer.width, given, projected=len(layer.parts), read=layer.read
        )
        heads = batch.candidates * linear_flops(self.heads)
        return torch.as_tensor(encoder + self.tokenizer.flops(batch) + heads, device=batch.device)

    def encode_prefix(self, batch: JaggedBatch, vectors: Vectors) -> HSTUPrefix:
        layout = sequence(batch, self.schema, self.mask, candidates=False)
        x_SD = jagged_concat(self.tokenizer.of_prefix(batch, vectors), layout.segment_offsets)
        tokens = Jagged(layout.offsets, (x_SD, layout.group_T, layout.visible_end))
        keys, values = _halves(self.run(self._encode, tokens))
        realtime = realtime_of(batch, self.schema.realtime)
        static_B = layout.offsets.diff() - realtime.lengths_B
        return HSTUPrefix(layout.offsets, static_B, realtime, keys, values)

    def extend_prefix(self, prefix: HSTUPrefix, batch: JaggedBatch, vectors: Vectors) -> HSTUPrefix:
        new = realtime_of(batch, self.schema.realtime)
        of_N = new.users_R
        realtime = prefix.realtime.followed_by(new)
        seen_N = prefix.static_B[of_N] + realtime.earlier(of_N, new.known_at_R, batch)
        x_ND = self.tokenizer.of_realtime(batch, vectors)
        group_N = realtime_groups(batch, self.schema)
        tokens = Jagged(_offsets(new.lengths_B), (x_ND, group_N, seen_N))
        keys, values = _halves(self.run(self._extend, prefix.keys_values, tokens))
        return prefix.followed_by(tokens.offsets, realtime, keys, values)

    def score_candidates(
        self, prefix: HSTUPrefix, batch: JaggedBatch, vectors: Vectors
    ) -> torch.Tensor:
        c_CD = self.tokenizer.of_candidates(batch, vectors)
        static_C = prefix.static_B[users_of(batch, CANDIDATES)]
        seen_C = static_C + known_before(prefix.realtime, batch)
        columns = (c_CD, self._candidate_groups(batch), seen_C)
        candidates = Jagged(_offsets(batch.lengths(CANDIDATES)), columns)
        (logits_CK,) = self.run(self._score, prefix.keys_values, candidates)
        return logits_CK

    def _encode(self, tokens: Jagged) -> tuple[torch.Tensor, ...]:
        """Keys and values of every layer, of a prefix's tokens [S, D], groups, and what each
        sees."""
        x_SD, group_S, seen_S = tokens.columns
        keys, values = [], []
        for layer in self.layers:
            assert isinstance(layer, EncoderLayer)
            if layer is self.layers[-1]:  # what it would make of the prefix, nobody reads
                k_SD, v_SD = layer.keys_values(x_SD, group_S)
            else:
                *gate, q_SD, k_SD, v_SD = layer.uqkv(x_SD, group_S)
                o_SD = layer.attend(q_SD, k_SD, v_SD, tokens.offsets, seen_S)
                x_SD = layer.update(x_SD, o_SD, gate, group_S)
            keys.append(k_SD)
            values.append(v_SD)
        return *keys, *values

    def _extend(self, prefix: Jagged, new: Jagged) -> tuple[torch.Tensor, ...]:
        """As `_encode`, of tokens [N, D] that follow a prefix, of which there are keys and
        values."""
        x_ND, group_N, _ = new.columns
        keys, values = [], []
        for layer, k_SD, v_SD in zip(self.layers, *_halves(prefix.columns), strict=True):
            assert isinstance(layer, EncoderLayer)
            if layer is self.layers[-1]:
                k_ND, v_ND = layer.keys_values(x_ND, group_N)
            else:
                *gate, q_ND, k_ND, v_ND = layer.uqkv(x_ND, group_N)
                o_ND = _attend_after(layer, prefix, (k_SD, v_SD), new, (q_ND, k_ND, v_ND))
                x_ND = layer.update(x_ND, o_ND, gate, group_N)
            keys.append(k_ND)
            values.append(v_ND)
        return *keys, *values

    def _score(self, prefix: Jagged, candidates: Jagged) -> tuple[torch.Tensor, ...]:
        """(logits_CK,) of candidates' tokens [C, D], groups, and what each sees."""
        c_CD, group_C, _ = candidates.columns
        for layer, k_SD, v_SD in zip(self.layers, *_halves(prefix.columns), strict=True):
            assert isinstance(layer, EncoderLayer)
            *gate, q_CD, k_CD, v_CD = layer.uqkv(c_CD, group_C)
            o_CD = _attend_after(layer, prefix, (k_SD, v_SD), candidates, (q_CD, k_CD, v_CD))
            c_CD = layer.update(c_CD, o_CD, gate, group_C)
        return (self._logits(c_CD, group_C),)

    def _logits(self, c_CD: torch.Tensor, group_C: torch.Tensor) -> torch.Tensor:
        c_CD = self.norm(c_CD, group_C)
        return torch.cat([head(c_CD) for head in self.heads], dim=1).float()

    def _candidate_groups(self, batch: JaggedBatch) -> torch.Tensor:
        """int64 [C], for `GroupLayerNorm`: the last group."""
        last = len(self.schema.groups) - 1
        return torch.full((batch.candidates,), last, device=batch.device)


def _attend_after(
    layer: EncoderLayer,
    prefix: Jagged,
    keys_values: tuple[torch.Tensor, torch.Tensor],
    new: Jagged,
    qkv: Sequence[torch.Tensor],
) -> torch.Tensor:
    """What tokens [N, D] after a prefix take from it and from themselves."""
    q_ND, *of_new = qkv
    offsets = (prefix.offsets, new.offsets)
    k_TD, v_TD = (jagged_concat(parts, offsets) for parts in zip(keys_values, of_new, strict=True))
    *_, seen_N = new.columns
    return layer.attend(q_ND, k_TD, v_TD, offsets[0] + offsets[1], seen_N, new.offsets)


def _halves(
    of_layers: tuple[torch.Tensor, ...],
) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """Keys of every layer, and values."""
    layers = len(of_layers) // 2
    return of_layers[:layers], of_layers[layers:]


def _offsets(lengths_B: torch.Tensor) -> torch.Tensor:
    """int64 [B + 1]"""
    return pad(lengths_B.cumsum(0), (1, 0))
