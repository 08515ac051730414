"""What a GPU sets aside for the ids of tables, known without a GPU."""

from collections.abc import Iterable, Mapping

from rayrank.embedding.budget import SLOT_BYTES, Rules, Width

PLACE_BYTES = 12
"""Of a place in the id map: a key and a slot."""
ID_BYTES = 18
"""Of a row beside that and its vector: key, table, step, sightings."""


def places_for(ids: int) -> int:
    """Of a map of so many ids: a power of two, at least twice as many."""
    return 1 << (2 * ids - 1).bit_length()


def map_bytes(rows: int) -> int:
    """Of the id map of one table whose ids get slots below `rows`, full or not."""
    return PLACE_BYTES * (places_for(rows) + 1)


def beyond_budget(widths: Iterable[Width], rules: Mapping[str, Rules]) -> int:
    """Bytes of a rank, beside what a budget counts of its rows (`SLOT_BYTES`): every table's map
    has places for all rows of its width, and so has what waits to be admitted to it."""
    beyond = 0
    for width in widths:
        each = map_bytes(width.rows)
        waiting = sum(rules[name].admit_after > 1 for name in width.tables)
        maps = (len(width.tables) + waiting) * each
        beyond += maps + width.rows * (ID_BYTES * (1 + waiting) - SLOT_BYTES)
    return beyond
