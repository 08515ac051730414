"""The features of one group of tokens, as one vector per token."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from rayrank.data.jagged import JaggedBatch
from rayrank.data.scale import Scale
from rayrank.model.segments import Layouts, Segments
from rayrank.schema import PROFILE, Feature, Group, Schema

Scales = Mapping[str, Scale]
"""TOKEN.FEATURE -> how a number is spread over the training rows."""
Vectors = Mapping[tuple[Group, str], torch.Tensor]
"""(group, feature) -> the vectors [ids, dim] of a feature's ids in a batch."""
AGES = 2
"""The width of `behaviour_ages`."""


class Features(nn.Module):
    """Concatenates the vectors and scaled numbers of a token's features: [n] -> [n, width]."""

    mean: torch.Tensor
    std: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __init__(self, schema: Schema, token: str, scales: Scales, dropout: float) -> None:
        super().__init__()
        features = schema.features_of(token)
        self.embedded: dict[str, Feature] = {
            n: f for n, f in features.items() if f.table is not None
        }
        self.numeric = [n for n, f in features.items() if f.kind == "number"]
        self.dims = [schema.tables[str(f.table)].dim for f in self.embedded.values()]
        self.vectors = {n: f.width for n, f in features.items() if f.width is not None}
        self.width = sum(self.dims) + len(self.numeric) + sum(self.vectors.values())
        self.dropout = nn.Dropout(dropout)
        spread = [scales.get(f"{token}.{name}", Scale(0.0, 1.0)) for name in self.numeric]
        for part, buffer in enumerate(("mean", "std", "low", "high")):
            self.register_buffer(buffer, torch.tensor([scale[part] for scale in spread]))

    def columns(self) -> Segments:
        """What stands where in `forward`'s width: features by name."""
        numbers = [(name, 1) for name in self.numeric]
        ids = list(zip(self.embedded, self.dims, strict=True))
        return [*ids, *numbers, *self.vectors.items()]

    def layouts(self) -> Layouts:
        numbers = [(name, 1) for name in self.numeric]
        return dict.fromkeys(("mean", "std", "low", "high"), (numbers,))

    def forward(self, batch: JaggedBatch, vectors: Vectors, group: Group) -> torch.Tensor:
        """[elements of the group (of profile: users), width]: embedded features first, then
        numbers, then vectors; no columns where the schema has no such features."""
        rows = batch.users if group == PROFILE else batch.counts[group]
        columns = [self.mean.new_empty(rows, 0)]
        columns += [
            self.dropout(embedded(batch, vectors, group, name, feature))
            for name, feature in self.embedded.items()
        ]
        if self.numeric:
            columns.append(self.numbers(batch, group))
        columns += [batch.vectors(group, name, width) for name, width in self.vectors.items()]
        return torch.cat(columns, dim=1)

    def numbers(self, batch: JaggedBatch, group: Group) -> torch.Tensor:
        """[elements of the group, numeric features], scaled to mean 0 and deviation 1.

        What lies far outside of what training saw is taken for its edge: a unit that was mistaken
        once is a wrong score, and not one that is no number.
        """
        raw = torch.stack([batch.numbers(group, name) for name in self.numeric], dim=1)
        return (raw.clamp(self.low, self.high) - self.mean) / self.std


class Behaviours(Features):
    """The features of a sequence's behaviours, and how old each one is: [n] -> [n, width]."""

    def __init__(self, schema: Schema, sequence: str, scales: Scales, dropout: float) -> None:
        super().__init__(schema, sequence, scales, dropout)
        self.width += AGES

    def columns(self) -> Segments:
        return [*super().columns(), ("behaviour_ages()", AGES)]  # no feature has such a name

    def forward(self, batch: JaggedBatch, vectors: Vectors, group: Group) -> torch.Tensor:
        """[elements of the sequence's static or realtime part, width]"""
        return torch.cat(
            [super().forward(batch, vectors, group), behaviour_ages(batch, group)], dim=1
        )


def embedded(
    batch: JaggedBatch, vectors: Vectors, group: Group, name: str, feature: Feature
) -> torch.Tensor:
    """One feature's vectors [elements of the group, dim]; of a list, the mean (0 if empty)."""
    values_ND = vectors[group, name]
    if feature.kind != "ids":
        return values_ND
    lengths = batch.list_lengths(group, name)
    element = torch.repeat_interleave(lengths, output_size=len(values_ND))
    summed = values_ND.new_zeros(len(lengths), values_ND.shape[1]).index_add(0, element, values_ND)
    return summed / lengths.clamp(min=1).unsqueeze(1)


def mlp(*widths: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with SiLU (and dropout) between them."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(widths):
        layers += [nn.Linear(width_in, width_out), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


def hidden_layers(*widths: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers with SiLU (and dropout) behind each of them."""
    return nn.Sequential(*mlp(*widths, dropout=dropout), nn.SiLU(), nn.Dropout(dropout))


def behaviour_ages(batch: JaggedBatch, group: Group) -> torch.Tensor:
    """[n, AGES] for a part of a sequence: log hours before, and after, the start of the window.

    The sequence itself carries no positions, and this is all a token knows of its age. Relative to
    the window, so that a static token is the same for every candidate.
    """
    start = torch.repeat_interleave(
        batch.window_start, batch.lengths(group), output_size=batch.counts[group]
    )
    hours = (batch.times(group) - start).to(torch.float32) / 3_600_000
    return torch.stack(
        [torch.log1p(functional.relu(-hours)), torch.log1p(functional.relu(hours))], dim=1
    )
