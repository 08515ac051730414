"""The engine: user rows in, predictions out, on a thread of its own.

Whenever it is free it takes all that waits, up to a number of tokens, and scores it together: the
longer scoring takes, the more waits, the more is taken. No timer, nothing is held back.
"""

import heapq
import itertools
import math
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch

from rayrank.data.jagged import to_jagged
from rayrank.infer.bundle import Bundle
from rayrank.infer.prefix_cache import PrefixCache
from rayrank.infer.warm import example_rows
from rayrank.schema import CANDIDATES

BATCH_TOKENS = 16_384
CACHE_BYTES = 1 << 30


class Phases(NamedTuple):
    """Where the time of a request went, in ms: of waiting its own, of the rest its batch's."""

    wait: float
    copy: float
    """Candidates into tensors, and onto the device."""
    prefix: float
    """What the model makes of users: found, extended, or encoded."""
    candidates: float
    post: float
    """From logits to predictions, and back from the device."""


class Scored(NamedTuple):
    """A request's answer."""

    scores: list[np.ndarray]
    """Per row float32 [candidates, tasks], in the schema's order of tasks."""
    ms: Phases


@dataclass(order=True)
class _Asked:
    deadline: float
    number: int
    rows: pa.Table = field(compare=False)
    tokens: int = field(compare=False)
    came: float = field(compare=False)
    answer: "Future[Scored]" = field(compare=False, default_factory=Future)


class Engine:
    """Scores what it is asked on one thread, which alone touches the model.

    (A CUDA graph and its static buffers belong to one thread; servers call from many.)
    """

    def __init__(
        self,
        bundle: Bundle,
        device: torch.device | str = "cpu",
        *,
        batch_tokens: int = BATCH_TOKENS,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """batch_tokens: of the requests scored together; one that has more is scored alone.
        cache_bytes: of users' prefixes, where the model's can be kept; 0 keeps none."""
        self.bundle = bundle
        self.device = torch.device(device)
        self.batch_tokens = batch_tokens
        self._ranker = bundle.ranker.to(self.device)
        keeps = cache_bytes > 0 and self._ranker.Prefix is not None
        self.cache = PrefixCache(bundle.schema, cache_bytes) if keeps else None
        self._waiting: list[_Asked] = []
        self._lock = threading.Lock()
        self._closed = False
        self._numbers = itertools.count()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")

    def submit(self, rows: pa.Table, deadline: float = math.inf) -> "Future[Scored]":
        """Score user rows. Of what waits, the earliest deadline (on any clock, the same for all)
        goes first; what is cancelled before its turn is not computed. RuntimeError once closed."""
        tokens = int(rows["tokens"].to_numpy().sum())
        asked = _Asked(deadline, next(self._numbers), rows, tokens, time.perf_counter())
        with self._lock:
            if self._closed:
                raise RuntimeError("the engine is closed")
            heapq.heappush(self._waiting, asked)
            # One turn for each request; those whose request was taken along find nothing to do.
            self._thread.submit(self._turn)
        return asked.answer

    def warm(self) -> None:
        """Score an example, so that nobody waits for what happens once: a second and more."""
        self.submit(example_rows(self.bundle.schema)).result()

    def close(self) -> None:
        """Finish what was submitted and end the thread."""
        with self._lock:
            self._closed = True
        self._thread.shutdown()

    def _turn(self) -> None:
        batch = self._take()
        try:
            self._answer(batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
                return
            for asked in batch:  # whosever fault it is, it is nobody else's
                try:
                    self._answer([asked])
                except Exception as own:
                    asked.answer.set_exception(own)

    def _take(self) -> list[_Asked]:
        """All that waits, in order, as far as the budget goes."""
        batch: list[_Asked] = []
        tokens = 0
        with self._lock:
            while self._waiting:
                if batch and tokens + self._waiting[0].tokens > self.batch_tokens:
                    break
                asked = heapq.heappop(self._waiting)
                if asked.answer.set_running_or_notify_cancel():
                    batch.append(asked)
                    tokens += asked.tokens
        return batch

    def _answer(self, batch: list[_Asked]) -> None:
        if not batch:
            return
        begun = time.perf_counter()
        scores, ms = self._score(pa.concat_tables([asked.rows for asked in batch]))
        rows = 0
        for asked in batch:
            own = scores[rows : rows + len(asked.rows)]
            rows += len(asked.rows)
            asked.answer.set_result(Scored(own, ms._replace(wait=1000 * (begun - asked.came))))

    @torch.inference_mode()
    def _score(self, rows: pa.Table) -> Scored:
        at = [time.perf_counter()]
        candidates = to_jagged(rows, self.bundle.schema, (CANDIDATES,))
        lengths = candidates.lengths(CANDIDATES).numpy()
        candidates = candidates.to(self.device)
        at.append(time.perf_counter())
        prefix = self._prefix(rows)
        at.append(time.perf_counter())
        vectors = self._ranker.lookup(candidates, [CANDIDATES])
        logits_CK = self._ranker.score_candidates(prefix, candidates, vectors)
        at.append(time.perf_counter())
        p_CK = self._ranker.predictions(logits_CK).cpu().numpy()
        scores = np.split(p_CK, np.cumsum(lengths))[: len(lengths)]
        at.append(time.perf_counter())
        return Scored(scores, Phases(0.0, *(1000 * (b - a) for a, b in itertools.pairwise(at))))

    def _prefix(self, rows: pa.Table) -> Any:
        """Of all rows, each from where it is cheapest."""
        if self.cache is None or len(rows) == 0:
            return self._encode(rows)
        each = [rows.slice(i, 1) for i in range(len(rows))]
        keys = [self.cache.key(row) for row in each]
        found = [self.cache.find(key, row) for key, row in zip(keys, each, strict=True)]
        prefixes = [None if kept is None else kept.prefix for kept in found]
        missing = [i for i, kept in enumerate(found) if kept is None]
        longer = [(i, kept) for i, kept in enumerate(found) if kept is not None and kept.more]
        if missing:
            new = rows if len(missing) == len(rows) else rows.take(pa.array(missing))
            encoded = self._encode(new)
            for i, prefix in zip(missing, encoded.split(), strict=True):
                prefixes[i] = prefix
        if longer:
            extended = self._extend([(kept.prefix, kept.new) for _, kept in longer])
            for (i, _), prefix in zip(longer, extended.split(), strict=True):
                prefixes[i] = prefix
        for i in (*missing, *(i for i, _ in longer)):
            self.cache.keep(keys[i], prefixes[i], each[i])
        return self._join(prefixes)

    def _encode(self, rows: pa.Table) -> Any:
        schema = self.bundle.schema
        groups = [group for group in schema.groups if group != CANDIDATES]
        batch = to_jagged(rows, schema, groups).to(self.device)
        return self._ranker.encode_prefix(batch, self._ranker.lookup(batch, groups))

    def _extend(self, longer: list[tuple[Any, pa.Table]]) -> Any:
        """Prefixes, each with the realtime events that came after it."""
        prefixes, new = zip(*longer, strict=True)
        realtime = self.bundle.schema.realtime
        batch = to_jagged(pa.concat_tables(new), self.bundle.schema, realtime).to(self.device)
        vectors = self._ranker.lookup(batch, realtime)
        return self._ranker.extend_prefix(self._join(prefixes), batch, vectors)

    def _join(self, prefixes: Any) -> Any:
        assert self._ranker.Prefix is not None
        return self._ranker.Prefix.join(prefixes)
