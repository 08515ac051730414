"""User rows through the model: what is kept of users is found, the rest encoded, candidates scored.

For one thread: a GPU's graphs, and the buffers they read, belong to it.
"""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.infer.bundle import Bundle
from rayrank.infer.phases import Phases, Stopwatch
from rayrank.infer.prefix_cache import Found, PrefixCache
from rayrank.infer.replays import Replays
from rayrank.infer.staging import Staging
from rayrank.model.parts import run_now
from rayrank.schema import CANDIDATES

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16", "float16"]
"""What products are computed in; they are summed in float32 always."""


class Scored(NamedTuple):
    """An answer."""

    scores: list[np.ndarray]
    """Per row float32 [candidates, tasks], in the schema's order of tasks."""
    ms: Phases


class Scorer:
    """A bundle on a device. The bundle's ranker is its own from now on."""

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device | str | None,
        precision: Precision | None,
        cache_bytes: int,
        batch_tokens: int,
        replays: bool | None,
    ) -> None:
        """As `Engine` says."""
        self.bundle = bundle
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        on_gpu = self.device.type == "cuda"
        self.precision: Precision = precision or ("float16" if on_gpu else "float32")
        self._dtype: torch.dtype = getattr(torch, self.precision)
        self._ranker = bundle.ranker.to(self.device)
        if self._dtype != torch.float32:
            for module in self._ranker.modules():
                if isinstance(module, nn.Linear):  # or autocast would cast it for every batch
                    module.to(self._dtype)
        keeps = cache_bytes > 0 and self._ranker.Prefix is not None
        self.cache = PrefixCache(bundle.schema, cache_bytes) if keeps else None
        replaying = on_gpu if replays is None else replays
        self.replays = Replays(self.device, batch_tokens) if replaying else None
        self._ranker.run = self.replays or run_now
        self._staging = Staging(self.device)

    @torch.inference_mode()
    def score(self, rows: pa.Table) -> Scored:
        """Score user rows, all at once."""
        watch = Stopwatch(self.device)
        sought = self._sought(rows)
        batch = to_jagged(rows, self.bundle.schema, (CANDIDATES,))
        lengths = batch.lengths(CANDIDATES).numpy()
        candidates, *batches = self._staging([batch, *self._batches(sought)])
        watch.mark()
        with self._in_precision():
            prefix = self._prefix(sought, batches)
            watch.mark()
            vectors = self._ranker.lookup(candidates, [CANDIDATES])
            logits_CK = self._ranker.score_candidates(prefix, candidates, vectors)
        watch.mark()
        p_CK = self._ranker.predictions(logits_CK).cpu().numpy()
        scores = np.split(p_CK, np.cumsum(lengths))[: len(lengths)]
        watch.mark()
        return Scored(scores, Phases(0.0, *watch.milliseconds()))

    @torch.inference_mode()
    def record(self) -> None:
        """Record what the rows scored so far ran, if anything is replayed."""
        if self.replays is not None:
            with self._in_precision():
                recorded = self.replays.record()
            logger.info("%d recordings, up to %d tokens each", recorded, self.replays.largest)

    def _in_precision(self) -> torch.autocast:
        mixed = self._dtype != torch.float32
        dtype = self._dtype if mixed else None
        # What a graph found in autocast's cache may be gone when it is replayed.
        return torch.autocast(self.device.type, dtype, enabled=mixed, cache_enabled=False)

    def _sought(self, rows: pa.Table) -> "_Sought":
        """What there is of each row."""
        if self.cache is None or len(rows) == 0:
            return _Sought(rows, [], None)
        each = [rows.slice(i, 1) for i in range(len(rows))]
        keys = [self.cache.key(row) for row in each]
        found = [self.cache.find(key, row) for key, row in zip(keys, each, strict=True)]
        return _Sought(rows, keys, found)

    def _batches(self, sought: "_Sought") -> list[JaggedBatch]:
        """What must be encoded, if anything; then what prefixes are extended by, if any are."""
        schema, batches = self.bundle.schema, []
        if sought.to_encode is not None:
            batches.append(to_jagged(sought.to_encode, schema, schema.groups[:-1]))
        if sought.longer:
            new = pa.concat_tables([found.new for _, found in sought.longer])
            batches.append(to_jagged(new, schema, schema.realtime))
        return batches

    def _prefix(self, sought: "_Sought", batches: list[JaggedBatch]) -> Any:
        """Of all rows, each from where it is cheapest."""
        schema, encoded, extended = self.bundle.schema, None, None
        if sought.to_encode is not None:
            batch, *batches = batches
            vectors = self._ranker.lookup(batch, schema.groups[:-1])
            encoded = self._ranker.encode_prefix(batch, vectors)
        if sought.found is None or self.cache is None:
            return encoded
        prefixes = [None if found is None else found.prefix for found in sought.found]
        made: list[tuple[int, Any]] = []
        if encoded is not None:
            made += zip(sought.missing, encoded.split(), strict=True)
        if sought.longer:
            (batch,) = batches
            vectors = self._ranker.lookup(batch, schema.realtime)
            before = self._join([found.prefix for _, found in sought.longer])
            extended = self._ranker.extend_prefix(before, batch, vectors)
            made += zip([i for i, _ in sought.longer], extended.split(), strict=True)
        for i, prefix in made:
            prefixes[i] = prefix
            self.cache.keep(sought.keys[i], prefix, sought.rows.slice(i, 1))
        return self._join(prefixes)

    def _join(self, prefixes: Any) -> Any:
        assert self._ranker.Prefix is not None
        return self._ranker.Prefix.join(prefixes)


@dataclass(frozen=True)
class _Sought:
    """Rows, and what is kept of each."""

    rows: pa.Table
    keys: list[bytes]
    found: list[Found | None] | None
    """None where nothing is ever kept."""

    @cached_property
    def missing(self) -> list[int]:
        """The rows of which nothing is kept."""
        found = [None] * len(self.rows) if self.found is None else self.found
        return [i for i, kept in enumerate(found) if kept is None]

    @cached_property
    def longer(self) -> list[tuple[int, Found]]:
        """Those with more events than what is kept has."""
        return [(i, kept) for i, kept in enumerate(self.found or []) if kept and kept.more]

    @cached_property
    def to_encode(self) -> pa.Table | None:
        """The missing rows: none, or all, which then are not copied."""
        missing = self.missing
        if len(missing) == len(self.rows):
            return self.rows
        return self.rows.take(pa.array(missing)) if missing else None
