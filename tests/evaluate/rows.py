"""User rows that can be counted out by hand."""

import pyarrow as pa

from ..model.rows import MINUTE, SCHEMA, WINDOW, User, behaviour, candidate, features, table

DAY = 24 * 60


def user_row(user: str, day: int, shown: int) -> pa.Table:
    """Three candidates share each moment."""
    start, seed = day * DAY, 1000 * ord(user) + 100 * day
    row = table(
        [
            User(
                features(SCHEMA, "profile", seed),
                [behaviour(start - 3, seed + 1)],
                [behaviour(start + 2, seed + 2)],
                [candidate(start + 1 + i // 3, seed + 10 + i) for i in range(shown)],
            )
        ]
    )
    for name, value in (("user", user), ("window_start", WINDOW + start * MINUTE)):
        place = row.schema.get_field_index(name)
        row = row.set_column(place, row.schema.field(place), pa.array([value]))
    return row
