"""Tables as a checkpoint holds them: every rank takes what is its own."""

from collections.abc import Callable, Container, Iterable, Mapping

from rayrank.embedding.sharded import ShardedTables
from rayrank.embedding.tables import ShardRows
from rayrank.storage import AnyPath
from rayrank.train import checkpoint as ckpt

Part = Mapping[str, ShardRows]


def restore_tables(
    tables: ShardedTables,
    checkpoint: AnyPath,
    rank: int,
    world_size: int,
    ranks: Iterable[int] | None = None,
    taken: Callable[[Part], Part] = lambda part: part,
    names: Container[str] | None = None,
) -> None:
    """Fill new tables, part by part. ranks: whose files this rank reads, all unless said; taken:
    what is taken of a part; names: the tables of which anything is taken, all unless said. Raises
    CapacityError where there is too much for these tables."""
    whose = None if ranks is None else list(ranks)
    tables.load_rows(map(taken, ckpt.read_parts(checkpoint, whose)), rank, world_size)
    for told in ckpt.read_aside(checkpoint, whose):
        # TABLE/waiting/keys, TABLE/gone/steps, …
        mine = {k: v for k, v in told.items() if names is None or k.rsplit("/", 2)[0] in names}
        tables.load_aside(mine, rank, world_size)
    tables.continue_from(ckpt.read_state(checkpoint).table_steps)
