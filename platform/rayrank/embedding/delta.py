"""What changed in a table since a step, and the frozen table that follows from it.

A delta holds the rows of all ids that were trained since, and the ids that went. A frozen table and
the delta of all steps after it give, bit for bit, the table that would be frozen now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from rayrank.embedding.frozen import FrozenTable, content_of, freeze, place
from rayrank.embedding.tables import LearnedRows
from rayrank.storage import AnyPath
from rayrank.tensors import read_tensors, write_tensors


@dataclass(frozen=True)
class Delta:
    """Of one table: of one rank, or of all."""

    since: int
    """The first step whose changes it holds, and …"""
    until: int
    """… the first whose it does not, by the tables' own count."""
    rows: LearnedRows
    """Ids that were looked up to be trained, and are there."""
    gone: torch.Tensor
    """int64 [n]: keys that went; some may have come back."""


def joined(deltas: Sequence[Delta]) -> Delta:
    """Of all ranks: every rank's. Raises ValueError for deltas of other steps."""
    spans = {(delta.since, delta.until) for delta in deltas}
    if len(spans) != 1:
        raise ValueError(f"deltas of different steps: {sorted(spans)}")
    rows = LearnedRows(
        torch.cat([delta.rows.keys for delta in deltas]),
        torch.cat([delta.rows.vectors for delta in deltas]),
    )
    return Delta(*spans.pop(), rows, torch.cat([delta.gone for delta in deltas]))


def apply(
    name: str, table: FrozenTable, delta: Delta, *, init_std: float, seed: int
) -> FrozenTable:
    """The table as it is after a delta of all ranks; `freeze` says the rest. The one given is left
    as it was."""
    keys, half = content_of(table)
    stays = ~torch.isin(keys, torch.cat([delta.gone, delta.rows.keys]))
    changed = content_of(freeze(name, delta.rows, init_std=init_std, seed=seed))
    return place(torch.cat([keys[stays], changed[0]]), torch.cat([half[stays], changed[1]]))


def write_deltas(path: AnyPath, deltas: Mapping[str, Delta]) -> str:
    """A safetensors file of several tables' deltas; the SHA-256 of what was written."""
    tensors = {}
    for name, delta in deltas.items():
        tensors[f"{name}/span"] = torch.tensor([delta.since, delta.until])
        tensors[f"{name}/keys"], tensors[f"{name}/vectors"] = delta.rows.keys, delta.rows.vectors
        tensors[f"{name}/gone"] = delta.gone
    return write_tensors(path, tensors)


def read_deltas(path: AnyPath) -> dict[str, Delta]:
    """What `write_deltas` wrote."""
    tensors = read_tensors(path)
    found = {}
    for name in [key.removesuffix("/span") for key in tensors if key.endswith("/span")]:
        since, until = tensors[f"{name}/span"].tolist()
        rows = LearnedRows(tensors[f"{name}/keys"], tensors[f"{name}/vectors"])
        found[name] = Delta(since, until, rows, tensors[f"{name}/gone"])
    return found
