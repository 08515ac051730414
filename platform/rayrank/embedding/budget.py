"""What tables may hold, and what makes room: as a person says it, and resolved for each table."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, ByteSize, Field, TypeAdapter

from rayrank.errors import ConfigError
from rayrank.schema import Table
from rayrank.strict import Positive, Strict

SLOT_BYTES = 42
"""Of an id beside its vector and optimizer state: a place in the id map (21 on average, five to a
line of 64 bytes, six tenths of them taken), the key by slot, its table, step and sightings."""
MOMENTUM_BYTES = 4
EVERY_SLOT = 1 << 31
"""Slots are counted in 32 bits."""


def _amount(told: str) -> str:
    if not told[-1:].isalpha() or bytes_of(told) <= 0:
        raise ValueError("expected a number of ids, or of bytes with their unit, such as 64MiB")
    return told


Amount = Positive | Annotated[str, AfterValidator(_amount)]
"""A number of ids, or bytes with their unit: 1000000, 64MiB, 2GB."""


class TableRules(Strict):
    """What a table has of its own."""

    capacity: Amount | None = None
    """The most ids it may hold, over all ranks, or what they may take; unless said, the schema's
    capacity."""
    admit_after: Positive | None = None
    """As for all tables."""
    time_to_live: Positive | None = None
    """As for all tables."""
    priority: Annotated[int, Field(ge=0, le=7)] = 0
    """Where all tables share a budget, ids of those of the least priority go first."""


class TablesConfig(Strict):
    """What embedding tables may hold together, and which ids make room for new ones."""

    budget: Amount | None = None
    """The most ids of all tables together, over all ranks, or what they may take (64MiB); each
    table's capacity holds as well."""
    evict: Literal["never", "least_recent", "least_frequent"] = "never"
    """What happens at the end of a step where tables hold more than they may: training ends with an
    error, or ids go, those that were not seen for longest, or in the fewest steps (of several the
    one not seen for longest), until a sixteenth is free."""
    half_life: Positive | None = None
    """For `least_frequent`: every so many steps all numbers of sightings are halved, so that what
    was popular once does not stay for ever; never unless said."""
    admit_after: Positive = 1
    """In how many steps an id must have been seen before it gets a row. Until then it has the
    vector of an unknown id, and learns nothing; as many ids as a table may hold can wait."""
    time_to_live: Positive | None = None
    """An id that was not seen in so many steps goes, whether or not there is room."""
    only: dict[str, TableRules] = Field(default_factory=dict)
    """Tables that have rules of their own, by name."""


class Rules(NamedTuple):
    """Of one table, all said."""

    capacity: int
    """In ids."""
    admit_after: int
    time_to_live: int | None
    priority: int


def row_bytes(dim: int) -> int:
    """What an id of a table of this width takes, with all that is kept of it."""
    return 4 * dim + MOMENTUM_BYTES + SLOT_BYTES


def rules_of(tables: Mapping[str, Table], config: TablesConfig) -> dict[str, Rules]:
    """Of every table. Raises ConfigError for rules of a table that is none, and for one that has
    no room for an id."""
    unknown = [name for name in config.only if name not in tables]
    if unknown:
        raise ConfigError(
            f"train.tables.only.{unknown[0]}: not a table of the schema; its tables are "
            f"{', '.join(tables)}"
        )
    return {name: _rules(name, table, config) for name, table in tables.items()}


def _rules(name: str, table: Table, config: TablesConfig) -> Rules:
    own = config.only.get(name, TableRules())
    capacity = table.capacity if own.capacity is None else _in_ids(own.capacity, table.dim)
    if capacity == 0:
        raise ConfigError(
            f"train.tables.only.{name}.capacity: {own.capacity} is no room for an id, which takes "
            f"{row_bytes(table.dim)} bytes"
        )
    return Rules(
        capacity,
        own.admit_after or config.admit_after,
        own.time_to_live or config.time_to_live,
        own.priority,
    )


def _in_ids(amount: int | str, dim: int) -> int:
    return amount if isinstance(amount, int) else bytes_of(amount) // row_bytes(dim)


def bytes_of(amount: str) -> int:
    """What `64MiB` says."""
    return int(TypeAdapter(ByteSize).validate_python(amount))


class Width(NamedTuple):
    """The tables of one width: they share one array of rows on every rank, and one exchange."""

    dim: int
    tables: tuple[str, ...]
    rows: int
    """Of each rank, the one of unknown ids not counted."""


def held_bytes(widths: Iterable[Width]) -> int:
    """Of a rank's rows, with all that is kept of an id in each."""
    return sum(width.rows * row_bytes(width.dim) for width in widths)


def widths_of(
    tables: Mapping[str, Table], config: TablesConfig, world_size: int, new_ids: int
) -> Iterator[Width]:
    """By width, ascending. new_ids: at most as many come in one step, over all ranks and tables,
    and are there until its end, where tables evict."""
    rules = rules_of(tables, config)
    for dim in sorted({table.dim for table in tables.values()}):
        names = tuple(name for name, table in tables.items() if table.dim == dim)
        held = sum(rules[name].capacity for name in names)
        if config.budget is not None:
            held = min(held, _in_ids(config.budget, dim))
        if config.evict != "never":
            held += new_ids
        # Keys are dealt by value, evenly but not exactly so.
        even = -(-held // world_size)
        rows = even if world_size == 1 else even + even // 4 + 16
        if rows >= EVERY_SLOT:
            raise ConfigError(
                f"tables of width {dim}: {rows:,} rows on a rank, of {EVERY_SLOT:,} at most"
            )
        yield Width(dim, names, rows)
