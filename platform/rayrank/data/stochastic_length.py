"""Stochastic length (HSTU, arXiv 2402.17152): in training most long sequences are seen in part, a
different part each epoch.

Of a sequence that keeps N behaviours at most, a row that has n of them keeps all if n is at most
N^(a/2); else all with probability N^a / n^2, and otherwise N^(a/2), drawn without replacement with
weights 1 - f / sum(f), f being how long before the row's last behaviour each one was.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rayrank.data.ids import to_ids
from rayrank.data.mixing import GAMMA, mix
from rayrank.data.seen import seen, taken
from rayrank.schema import Schema


class StochasticLength(NamedTuple):
    """What decides, with a row itself, which of its behaviours are seen."""

    alpha: float
    """In (1, 2]; at 2 every row keeps all."""
    seed: int
    epoch: int

    def shorten(self, rows: pa.Table, schema: Schema) -> pa.Table:
        """The rows, with what is seen of the static part of each sequence: a function of the row,
        the seed and the epoch, whatever other rows there are."""
        rows = seen(rows, schema)
        for number, group in enumerate(schema.static):
            column = rows.schema.get_field_index(group.name)
            longest = schema.sequences[group.token].keep
            own = self._keys(rows, number)
            part = self._seen(rows[group.name].combine_chunks(), longest, own)
            rows = rows.set_column(column, rows.schema.field(column), part)
        return rows

    def _keys(self, rows: pa.Table, number: int) -> np.ndarray:
        """uint64 [rows]: what a row draws by."""
        user = to_ids(rows["user"].combine_chunks(), "user").to_numpy().view(np.uint64)
        keys = mix(user ^ mix(rows["window_start"].to_numpy().view(np.uint64) + GAMMA))
        for told in (self.seed, self.epoch, number):
            keys = mix(keys ^ mix(np.full(1, told, np.uint64) + GAMMA))
        return keys

    def _seen(self, parts: pa.StructArray, longest: int, keys: np.ndarray) -> pa.StructArray:
        time = parts.field("time")
        offsets = time.offsets.to_numpy().astype(np.int64)
        lengths, start = np.diff(offsets), offsets[0]
        most = int(longest ** (self.alpha / 2))
        chance = longest**self.alpha / np.maximum(lengths, 1) ** 2.0
        short = (lengths > most) & (_uniform(keys) >= chance)
        if not short.any():
            return parts
        times = time.flatten().to_numpy()
        kept = np.ones(len(times), bool)
        for row in np.flatnonzero(short):
            own = slice(offsets[row] - start, offsets[row + 1] - start)
            kept[own] = _drawn(times[own], most, keys[row])
        return taken(parts, np.flatnonzero(kept), np.where(short, most, lengths))


def _drawn(times: np.ndarray, most: int, key: np.uint64) -> np.ndarray:
    """bool [times]: which ones are, `most` of them.

    The largest of log(u) / weight (Efraimidis and Spirakis 2006)."""
    ago = times.max() - times
    weights = 1 - ago / max(ago.sum(), 1)
    own = mix(key ^ mix(np.arange(len(times), dtype=np.uint64) + GAMMA))
    draws = np.log(_uniform(own)) / np.maximum(weights, 1e-12)
    drawn = np.zeros(len(times), bool)
    drawn[np.argpartition(-draws, most - 1)[:most]] = True
    return drawn


def _uniform(keys: np.ndarray) -> np.ndarray:
    """float64 in (0, 1)"""
    return ((keys >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
