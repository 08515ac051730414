"""Parts of a model recorded once for a ladder of sizes, and replayed for every batch.

On a GPU a replay is a CUDA graph: hundreds of kernels by one launch. It reads and writes fixed
buffers, so that a batch is padded to the next rung: with empty users, and with tokens behind the
last one, which belong to nobody and change nobody. On a CPU the same is done by calling the part
again on the same buffers, and shows all of it but the capture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from rayrank.model.parts import Jagged, Part

SMALLEST = 128
"""Tokens of the first rung; each has twice as many as the one before."""
TOKENS_OF_A_USER = 16
"""A rung has room for a user for so many tokens."""

Rung = tuple[int, ...]
"""How many users there is room for, and how many tokens of each input."""
Replay = Callable[[], tuple[Tensor, ...]]
"""Runs a part on its buffers; the results are overwritten by the next one."""


@dataclass(frozen=True)
class _Inputs:
    """The buffers of one part, as large as its largest rung."""

    offsets: list[Tensor]
    columns: list[tuple[Tensor, ...]]

    def of(self, rung: Rung) -> list[Jagged]:
        """As a part sees them on a rung."""
        users, *tokens = rung
        return [
            Jagged(offsets[: users + 1], tuple(column[:rows] for column in columns))
            for offsets, columns, rows in zip(self.offsets, self.columns, tokens, strict=True)
        ]


class Replays:
    """A `Runner`. For one thread, to which a GPU's graphs belong."""

    def __init__(self, device: torch.device, most_tokens: int) -> None:
        """most_tokens: of all inputs of a part together; what has more is run as it stands."""
        self.device = device
        self.largest = _rung_of(most_tokens)
        self.replayed = self.ran = 0
        """How many parts were replayed, and how many run as they stand."""
        self._inputs: dict[Part, _Inputs] = {}
        self._replays: dict[Part, dict[Rung, Replay]] = {}
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def __call__(self, part: Part, *inputs: Jagged) -> tuple[Tensor, ...]:
        """The part's results. Until `record` it takes note of what parts are given."""
        if not self._replays and part not in self._inputs:
            self._inputs[part] = self._buffers(inputs)
        rung = rung_for(inputs)
        replay = self._replays.get(part, {}).get(rung)
        if replay is None:
            self.ran += 1
            return part(*inputs)
        self.replayed += 1
        self._fill(self._inputs[part].of(rung), inputs)
        results = replay()
        tokens = len(inputs[-1].columns[0])
        return tuple(result[:tokens].clone() for result in results)

    def record(self) -> int:
        """Record every part that was run so far, on every rung; how many recordings there are."""
        for part, inputs in self._inputs.items():
            self._replays[part] = {
                rung: self._recorded(part, inputs.of(rung)) for rung in self._rungs(inputs)
            }
        return sum(map(len, self._replays.values()))

    def _rungs(self, inputs: _Inputs) -> list[Rung]:
        """The largest first: what is smaller finds its memory there."""
        sizes = [SMALLEST << step for step in range((self.largest // SMALLEST).bit_length())]
        fitting = [
            tokens
            for tokens in product(sizes, repeat=len(inputs.offsets))
            # The least that is rounded up to these must be within what there may be.
            if sum(size // 2 for size in tokens if size > SMALLEST) < self.largest
        ]
        return [_with_users(tokens) for tokens in sorted(fitting, key=sum, reverse=True)]

    def _buffers(self, inputs: Sequence[Jagged]) -> _Inputs:
        users, rows = self.largest // TOKENS_OF_A_USER, self.largest
        return _Inputs(
            [torch.zeros(users + 1, dtype=torch.int64, device=self.device) for _ in inputs],
            [
                tuple(column.new_zeros(rows, *column.shape[1:]) for column in of.columns)
                for of in inputs
            ],
        )

    def _fill(self, buffers: Sequence[Jagged], inputs: Sequence[Jagged]) -> None:
        for into, of in zip(buffers, inputs, strict=True):
            given = len(of.offsets)
            into.offsets[:given] = of.offsets
            into.offsets[given:] = of.offsets[-1]  # users without tokens
            for buffer, column in zip(into.columns, of.columns, strict=True):
                buffer[: len(column)] = column

    def _recorded(self, part: Part, buffers: Sequence[Jagged]) -> Replay:
        if self.device.type != "cuda":
            return lambda: part(*buffers)
        # What happens once, such as compiling a kernel, may not happen in a capture.
        beside = torch.cuda.Stream(self.device)
        beside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(beside):
            part(*buffers)
        torch.cuda.current_stream(self.device).wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        # One pool: a replay's results are copied before the next one starts.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            results = part(*buffers)

        def replay() -> tuple[Tensor, ...]:
            graph.replay()
            return results

        return replay


def rung_for(inputs: Sequence[Jagged]) -> Rung:
    """The least rung that holds the inputs' users and tokens."""
    users = len(inputs[0].offsets) - 1
    tokens = [_rung_of(len(of.columns[0])) for of in inputs]
    while max(tokens) < users * TOKENS_OF_A_USER:
        tokens[tokens.index(max(tokens))] *= 2
    return _with_users(tokens)


def _rung_of(tokens: int) -> int:
    return max(SMALLEST, 1 << (max(tokens, 1) - 1).bit_length())


def _with_users(tokens: Sequence[int]) -> Rung:
    return max(tokens) // TOKENS_OF_A_USER, *tokens
