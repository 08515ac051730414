"""Nothing goes on that is not finite: no step, and no checkpoint.

Told by sums over all ranks, so that every rank stops at the same place and says the same.
"""

from collections.abc import Mapping
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
import torch
import torch.distributed as dist

from rayrank.embedding.sharded import ShardedTables
from rayrank.errors import DivergedError
from rayrank.storage import AnyPath, writing_file
from rayrank.train.dense import own_part

SAVED = "not-finite"
"""The folder of batches whose loss was not finite."""
MOST_USERS = 5
"""Users that a message names."""


class NotFiniteError(Exception):
    """The loss of a step is not finite, or its gradient. Raised on every rank, before any weight is
    changed."""

    def __init__(self, what: Literal["loss", "gradient"], mine: bool) -> None:
        """mine: whether this rank's own batches may be at fault."""
        super().__init__(f"the {what} is not finite")
        self.mine = mine


def stopped_at(step: int, rows: pa.Table, error: NotFiniteError, folder: AnyPath) -> DivergedError:
    """Save the batches that gave what is not finite, as Parquet; what to tell a person.
    Collective: the same on every rank. rows: of this rank's batches."""
    rank = dist.get_rank()
    told: dict[str, list[str]] = {}
    if error.mine:
        path = folder / SAVED / f"step-{step:08d}-rank-{rank}.parquet"
        with writing_file(path) as file:
            pq.write_table(rows, file)
        told[str(path)] = [str(user) for user in rows["user"].to_pylist()]
    all_told: list[dict[str, list[str]]] = [{}] * dist.get_world_size()
    dist.all_gather_object(all_told, told)
    lines = [
        f"  rank {rank}: {len(users)} users ({', '.join(users[:MOST_USERS])}"
        f"{', …' if len(users) > MOST_USERS else ''}), saved as {path}"
        for rank, of in enumerate(all_told)
        for path, users in of.items()
    ]
    return DivergedError(
        "\n".join(
            [
                f"step {step}: {error}, on the batches below; no weight was changed "
                "by it. Checkpoints of before are kept. Lower the rates, or look at these rows:",
                *lines,
            ]
        )
    )


def demand_finite(
    step: int, dense: Mapping[str, torch.Tensor], tables: ShardedTables, device: torch.device
) -> None:
    """Before a checkpoint is written, of parameters (a buffer may be infinite). Collective.

    Raises DivergedError naming each parameter and table that holds anything else, on any rank."""
    wrong = [name for name, value in dense.items() if not _finite(own_part(value))]
    wrong += [f"table {name}" for name in tables.not_finite()]
    count = torch.tensor(float(len(wrong)), device=device)
    dist.all_reduce(count)
    if count == 0:
        return
    all_wrong: list[list[str]] = [[]] * dist.get_world_size()
    dist.all_gather_object(all_wrong, wrong)
    names = sorted({name for of in all_wrong for name in of})
    raise DivergedError(
        f"step {step}: {', '.join(names)}: not finite any more, and so not saved. Checkpoints of "
        "before are kept; lower the rates"
    )


def _finite(values: torch.Tensor) -> bool:
    return not values.is_floating_point() or bool(torch.isfinite(values).all())
