"""Who opens the app when, and what is shown: the exposures of the simulated restaurants."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rayrank.data.simulate_world import CUISINES, World
from rayrank.errors import ConfigError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
FIRST_DAY_MS = 1_772_380_800_000  # 2026-03-02 00:00 in Shanghai

SLATE = (6, 12)
MEAN_SLATE = sum(SLATE) / 2
CLICK_RATE = 0.18
"""To plan with: a user row holds the clicks until its day's end, and the day's slates."""
# Lunch, dinner, late evening: the minutes of the day between which a session starts. Apart enough
# that a late order of one session never falls into the next, which would blur its true label.
SESSION_START = np.array([[660, 750], [1050, 1125], [1230, 1305]])
SESSION_LIKING = np.array([0.4, 0.6, 0.0])
MAX_REQUESTS = 25
"""Per session: an item is shown once in it, so every cuisine needs that many items."""


@dataclass(frozen=True)
class Exposures:
    """What was shown, ascending in time for each user; one element per exposure."""

    user: Ints
    item: Ints
    day: Ints
    slot: Ints
    request: Ints
    position: Ints
    time_ms: Ints

    def take(self, kept: NDArray[np.bool_]) -> "Exposures":
        """Some of the exposures."""
        return Exposures(*(getattr(self, column.name)[kept] for column in fields(self)))


def requests_per_day(
    rng: np.random.Generator, users: int, days: int, mean_length: float, max_length: int
) -> Ints:
    """Requests (users, days), zero on days off, that make user rows `mean_length` tokens long on
    average.

    The row of a user-day holds every click until that day's end, so its length depends on all
    days before it: the overall level of activity is found by bisection.
    """
    activity = 1 + rng.pareto(1.6, (users, 1))
    daily = rng.lognormal(-0.08, 0.4, (users, days))
    chance = rng.random((users, days))

    def requests(level: float) -> Ints:
        intensity = activity * level
        opens = np.clip(intensity, 0.15, 0.95)
        count = np.clip(np.rint(intensity / opens * daily), 1, 3 * MAX_REQUESTS)
        return np.where(chance < opens, count, 0).astype(np.int64)

    def mean_row(level: float) -> float:
        count = requests(level)
        length = MEAN_SLATE * (count + CLICK_RATE * count.cumsum(axis=1))
        shown = (count > 0) & (length - MEAN_SLATE * count < max_length)
        return float(np.minimum(length[shown], max_length).mean()) if shown.any() else 0.0

    low, high = 1e-2, 1e2
    least, most = mean_row(low), mean_row(high)
    if not least <= mean_length <= most:
        raise ConfigError(
            f"mean_length: a log of {days} days allows rows of {least:.0f} to {most:.0f} tokens "
            f"on average, found {mean_length:g}"
        )
    for _ in range(30):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if mean_row(middle) < mean_length else (low, middle)
    return requests(high)


def expose(rng: np.random.Generator, world: World, requests: Ints) -> Exposures:
    """Spread the requests over sessions and fill each with items of different cuisines."""
    user, day, slot = sessions(rng, requests)
    session = np.cumsum(starts(user, day, slot)) - 1
    size = rng.integers(SLATE[0], SLATE[1] + 1, len(user))

    # Distinct cuisines per slate: whom a user prefers shows only where there is a choice.
    order = np.argsort(rng.random((len(user), len(CUISINES))), axis=1)
    cuisine = order[np.arange(len(CUISINES)) < size[:, None]]
    request = np.repeat(np.arange(len(user)), size)
    position = np.arange(size.sum()) - np.repeat(size.cumsum() - size, size)
    user, day, slot, session = (a[request] for a in (user, day, slot, session))
    item = _choose_items(rng, world, day, session, cuisine)

    first = starts(session)
    earliest, latest = SESSION_START[slot[first]].T
    start = (rng.uniform(earliest, latest) * MINUTE_MS)[session]
    elapsed = rng.integers(4_000, 20_000, len(user)).cumsum()
    elapsed -= elapsed[first][session]
    time_ms = FIRST_DAY_MS + day * DAY_MS + start.astype(np.int64) + elapsed

    return Exposures(user, item, day, slot, request, position, time_ms)


def sessions(rng: np.random.Generator, requests: Ints) -> tuple[Ints, Ints, Ints]:
    """User, day and slot of every request, ascending."""
    user_day = np.repeat(np.arange(requests.size), requests.ravel())
    total = requests.ravel()
    enough = -(-total // MAX_REQUESTS)
    sessions = np.clip(rng.integers(1, 4, requests.size), enough, np.minimum(total, 3))
    # The slots a user opens are those liked best today; `opened` lists them in order of time.
    liking = SESSION_LIKING + rng.gumbel(0, 0.5, (requests.size, 3))
    rank = np.argsort(np.argsort(-liking, axis=1), axis=1)
    opened = np.argsort(np.where(rank < sessions[:, None], 0, 3) + np.arange(3), axis=1)
    nth = np.arange(len(user_day)) - np.repeat(total.cumsum() - total, total)
    slot = opened[user_day, nth * sessions[user_day] // total[user_day]]
    return user_day // requests.shape[1], user_day % requests.shape[1], slot


def _choose_items(
    rng: np.random.Generator, world: World, day: Ints, session: Ints, cuisine: Ints
) -> Ints:
    """An item of each cuisine by today's popularity; one already shown in the session is redrawn.

    (Were it shown twice, one order would follow two clicks and the true p_order be ambiguous.)
    """
    by_cuisine = np.argsort(world.cuisine, kind="stable")
    weight = world.popularity[:, by_cuisine]
    sums = np.stack(
        [weight[:, world.cuisine[by_cuisine] == c].sum(1) for c in range(len(CUISINES))]
    )
    share = weight / sums[world.cuisine[by_cuisine]].T
    # One ascending ladder over (day, cuisine, item): each (day, cuisine) is one unit long.
    ladder = share.ravel().cumsum()
    item = np.empty(len(day), np.int64)
    again = np.arange(len(day))
    while len(again):
        rung = day[again] * len(CUISINES) + cuisine[again] + rng.random(len(again))
        found = np.minimum(np.searchsorted(ladder, rung, side="right"), len(ladder) - 1)
        item[again] = by_cuisine[found % len(by_cuisine)]
        _, firsts = np.unique(session * len(by_cuisine) + item, return_index=True)
        again = np.setdiff1d(np.arange(len(day)), firsts, assume_unique=True)
    return item


def starts(*columns: Ints) -> NDArray[np.bool_]:
    """True where any of the columns differs from the row before."""
    changed = np.ones(len(columns[0]), bool)
    changed[1:] = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    return changed
