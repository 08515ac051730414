"""Parts of a model whose tensors' shapes follow from numbers of users and tokens alone.

On a GPU such a part can be captured once for a number of tokens, and replayed for any batch that
has as many or fewer: nothing in it waits for a value, and rows behind the last user's change none
before them. Who runs a model says how (`Ranker.run`).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from torch import Tensor


class Jagged(NamedTuple):
    """What belongs to T tokens of B users, one user after the other."""

    offsets: Tensor
    """int64 [B + 1]: where each user's tokens start, and the end."""
    columns: tuple[Tensor, ...]
    """Each [T, ...]."""


Part: TypeAlias = Callable[..., tuple[Tensor, ...]]
"""Takes Jaggeds of the same users, and gives a row of each result for each token of the last."""


class Runner(Protocol):
    """How parts are run: `part(*inputs)`, or the same by other means."""

    def __call__(self, part: Part, *inputs: Jagged) -> tuple[Tensor, ...]: ...


def run_now(part: Part, *inputs: Jagged) -> tuple[Tensor, ...]:
    """As it stands there."""
    return part(*inputs)
