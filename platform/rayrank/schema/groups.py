"""Token groups: what stands in a user's sequence, in its order (DESIGN sections 3 and 4).

    profile | static part of each sequence | realtime part of each sequence | candidates

They follow from the schema's `sequences`, here and nowhere else: rows, batches, layouts, models
and requests iterate over `Schema.groups`.
"""

from dataclasses import dataclass
from typing import Literal

Part = Literal["profile", "static", "realtime", "candidates"]


@dataclass(frozen=True)
class Group:
    """Tokens that are made alike, share a norm, and stand side by side in a user row."""

    part: Part
    token: str
    """Whose features its tokens have: `profile`, a sequence, or `candidate`."""

    @property
    def name(self) -> str:
        """What a user row calls its column."""
        return self.part if self.part in ("profile", "candidates") else f"{self.part}_{self.token}"


PROFILE = Group("profile", "profile")
CANDIDATES = Group("candidates", "candidate")


def static_of(sequence: str) -> Group:
    """What of a sequence was known before the window."""
    return Group("static", sequence)


def realtime_of(sequence: str) -> Group:
    """What of a sequence was known inside the window."""
    return Group("realtime", sequence)
