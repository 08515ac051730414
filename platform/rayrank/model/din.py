"""DIN (arXiv 1706.06978): of what a user did, what matters for the candidate at hand."""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.model.activation_unit import ActivationUnit, Read
from rayrank.model.features import Behaviours, Scales, mlp
from rayrank.model.flops import linear_flops
from rayrank.model.pooled import Pooled, PooledConfig, PooledPrefix, visible
from rayrank.model.segments import Layouts, named
from rayrank.model.sequence import known_before, realtime_of, users_of
from rayrank.schema import CANDIDATES, Group, Schema
from rayrank.strict import Positive


class DINConfig(PooledConfig):
    """DIN: sequences weighed against each candidate, beside their means, and an MLP."""

    kind: str = "din"
    """Which model this configures."""
    attention_hidden: Annotated[list[Positive], Field(min_length=1)] = [32]
    """Widths of the hidden layers of what weighs a behaviour against a candidate."""
    attention_length: Positive = 64
    """What weighted sums are divided by: a constant, so that a sum still tells how much there was
    (the paper's is 1; its behaviours have no numbers, and are fewer)."""
    hidden: Annotated[list[int], Field(min_length=1)] = [256, 128]
    """Widths of the hidden layers of the MLP over the whole row."""


@dataclass(frozen=True)
class DINPrefix(PooledPrefix):
    """What is kept of B users: means, and behaviours one by one, of the parts of the sequences,
    the static ones first."""

    behaviours: tuple[Read, ...]
    static_lengths: tuple[torch.Tensor, ...]
    """Per static part int64 [B]."""


class DIN(Pooled):
    """The DLRM's row, and beside it, for each part of each sequence, the sum of a(e, v) e over the
    behaviours e that candidate v may see.

    Beside the means and not instead of them: then what DIN is above the DLRM is what attention
    brings. A sequence's static and realtime part share one unit. What a candidate may see is
    MTGR's mask (`model.sequence`): the static part whole, and what was known strictly before it was
    shown.

    Its cost grows with candidates x behaviours, which is not what `pair_in_tokens` counts (a user's
    visible pairs have those of the static part with itself): batches are balanced by tokens.
    """

    Config = DINConfig

    def __init__(self, schema: Schema, config: DINConfig, tables: Tables, scales: Scales) -> None:
        super().__init__(schema, config, tables, scales)
        of = {name: part for name, part in self.behaviours.items() if isinstance(part, Behaviours)}
        self.columns += [
            column
            for part in ("static", "realtime")
            for name in of
            for column in named(f"attended {part} {name}", of[name].columns())
        ]
        self.width = sum(width for _, width in self.columns)
        of_candidate, hidden = self.candidate.columns(), config.attention_hidden
        self.units = nn.ModuleDict(
            {name: ActivationUnit(of[name].columns(), of_candidate, hidden) for name in of}
        )
        self.length = config.attention_length
        self.mlp = mlp(self.width, *config.hidden, len(schema.tasks), dropout=config.dropout)

    def layouts(self) -> Layouts:
        return {"mlp.0.weight": (None, self.columns)}

    def logits(self, row_CD: torch.Tensor) -> torch.Tensor:
        return self.mlp(row_CD)

    def pool(
        self, batch: JaggedBatch, profile_BD: torch.Tensor, parts: dict[Group, torch.Tensor]
    ) -> DINPrefix:
        pooled = super().pool(batch, profile_BD, parts)
        return DINPrefix(
            pooled.profile_BD,
            pooled.static_BD,
            pooled.realtime,
            pooled.realtime_sums,
            tuple(self._unit(group).of_behaviours(e_ND) for group, e_ND in parts.items()),
            tuple(batch.lengths(group) for group in self.schema.static),
        )

    def rows(
        self, prefix: PooledPrefix, batch: JaggedBatch, candidate_CD: torch.Tensor
    ) -> torch.Tensor:
        assert isinstance(prefix, DINPrefix)
        user_C = users_of(batch, CANDIDATES)
        until = [lengths_B.cumsum(0) for lengths_B in prefix.static_lengths]
        ranges = [
            ((until_B - lengths_B)[user_C], until_B[user_C])
            for until_B, lengths_B in zip(until, prefix.static_lengths, strict=True)
        ]
        ranges += [visible(realtime, batch) for realtime in prefix.realtime]
        groups = (*self.schema.static, *self.schema.realtime)
        read = {name: self._unit(name).of_candidates(candidate_CD) for name in self.units}
        sums = [
            self._unit(group.token).sums(behaviours, read[group.token], *range_C) / self.length
            for group, behaviours, range_C in zip(groups, prefix.behaviours, ranges, strict=True)
        ]
        return torch.cat([super().rows(prefix, batch, candidate_CD), *sums], dim=1)

    def forward_flops(self, batch: JaggedBatch) -> torch.Tensor:
        """Of the units' products and of the MLP; the sums are hardly anything beside them."""
        shown_B = batch.lengths(CANDIDATES)
        total = torch.full((), batch.candidates * linear_flops(self.mlp), device=batch.device)
        for static, realtime in zip(self.schema.static, self.schema.realtime, strict=True):
            of_behaviour, of_candidate, of_pair = self._unit(static.token).flops()
            pairs = (batch.lengths(static) * shown_B).sum()
            pairs = pairs + known_before(realtime_of(batch, [realtime]), batch).sum()
            behaviours = batch.counts[static] + batch.counts[realtime]
            linear = behaviours * of_behaviour + batch.candidates * of_candidate
            total = total + linear + pairs * of_pair
        return total

    def _unit(self, of: Group | str) -> ActivationUnit:
        unit = self.units[of if isinstance(of, str) else of.token]
        assert isinstance(unit, ActivationUnit)
        return unit
