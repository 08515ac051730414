"""Some of a day's user rows: those of users who are held out from training on it, or the others.

Who is held out is drawn anew for every day, so that no user is never learned from, and is a
function of (user, day) alone, so that everybody who asks later finds the same ones.
"""

from datetime import date
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from rayrank.data.ids import to_ids
from rayrank.data.mixing import GAMMA, mix

Who = Literal["all", "learned_from", "held_out"]


class DayPart(NamedTuple):
    """The rows of a day, or those of some of its users."""

    day: str
    """`2026-11-24`"""
    share: float
    """Of the day's users, about so many are held out."""
    who: Who = "all"

    def picks(self, user: pa.ChunkedArray) -> np.ndarray:
        """bool [rows]: which rows of the day belong to it, by the user column."""
        if self.who == "all":
            return np.ones(len(user), bool)
        held_out = is_held_out(user, self.day, self.share)
        return held_out if self.who == "held_out" else ~held_out


def is_held_out(user: pa.ChunkedArray, day: str, share: float) -> np.ndarray:
    """bool [n]: who of these users is held out on a day."""
    ids = to_ids(user.combine_chunks(), "user").to_numpy().view(np.uint64)
    of_day = mix(np.full(1, date.fromisoformat(day).toordinal(), np.uint64) + GAMMA)
    drawn: np.ndarray = mix(mix(ids + GAMMA) ^ of_day) < np.uint64(share * 2.0**64)
    return drawn
