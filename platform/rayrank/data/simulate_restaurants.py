"""A simulated food-delivery log: what real logs have, and the truth beside it.

Long-tailed histories, tastes that history reveals and drift slowly, moods that only today's clicks
reveal, drifting popularity, position and hour, causal cross statistics, delayed orders. The true
probabilities `p_click` and `p_order` are columns the schema does not name: a perfect ranker's
quality can be measured, and no model can read them.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rayrank.data.config import SimulateConfig
from rayrank.data.running import running_counts
from rayrank.data.simulate_traffic import (
    DAY_MS,
    FIRST_DAY_MS,
    MINUTE_MS,
    Exposures,
    expose,
    requests_per_day,
)
from rayrank.data.simulate_world import CITIES, CUISINES, World, draw_world

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LATE_ORDERS = 0.06
"""The share of orders that come after the schema's ten minutes, and so are not attributed."""


def restaurants(config: SimulateConfig) -> dict[str, pa.Table]:
    """Exposures, items, users, events."""
    rng = np.random.default_rng(config.seed)
    world = draw_world(rng, config.users, config.items, config.days)
    requests = requests_per_day(
        rng, config.users, config.days, config.mean_length, config.max_length
    )
    shown = expose(rng, world, requests)
    p_click = world.p_click(shown.user, shown.item, shown.day, shown.slot, shown.position)
    click = (rng.random(len(p_click)) < p_click).astype(np.int64)
    kept = row_length(shown.user, shown.day, click) <= config.max_length
    shown, p_click, click = shown.take(kept), p_click[kept], click[kept]
    p_order = world.p_order_given_click(shown.user, shown.item, shown.day, shown.slot)
    ordered = click * (rng.random(len(p_order)) < p_order) == 1
    exposures = pa.table(
        {
            "user_id": shown.user,
            "item_id": shown.item,
            "time_ms": shown.time_ms,
            "request_id": shown.request,
            "position": shown.position,
            "hour": (shown.time_ms - FIRST_DAY_MS) % DAY_MS // (60 * MINUTE_MS),
            "distance_km": world.distance_km(shown.user, shown.item),
            "click": click,
            **cross_statistics(shown, world.cuisine, click),
            "p_click": p_click,
            "p_order": p_click * p_order * (1 - LATE_ORDERS),
        }
    )
    return {
        "exposures": exposures.sort_by([("time_ms", "ascending"), ("user_id", "ascending")]),
        "items": _items(world),
        "users": _users(world),
        "events": _orders(rng, shown, ordered),
    }


def row_length(user: Ints, day: Ints, click: Ints) -> Ints:
    """After each exposure, the length of its user row: clicks so far, and the day's exposures."""
    first_of_user = np.searchsorted(user, user)
    clicks = click.cumsum()
    user_day = user * (day.max(initial=0) + 1) + day
    today = np.arange(len(user)) + 1 - np.searchsorted(user_day, user_day)
    so_far: Ints = clicks - (clicks - click)[first_of_user] + today
    return so_far


def cross_statistics(shown: Exposures, cuisine: Ints, click: Ints) -> dict[str, Ints | Floats]:
    """What a feature store would have returned when the slate was requested.

    All items of a slate see the same moment, a millisecond before its first exposure.
    """
    _, first, slate = np.unique(shown.request, return_index=True, return_inverse=True)
    requested = shown.time_ms[first][slate]

    def known(key: Ints) -> tuple[Ints, Ints]:
        clicks, count = running_counts(key, requested, shown.time_ms, click)
        return clicks.astype(np.int64), count.astype(np.int64)

    cuisine_clicks, cuisine_count = known(shown.user * len(CUISINES) + cuisine[shown.item])
    pair_clicks, _ = known(shown.user * len(cuisine) + shown.item)
    item_clicks, item_count = known(shown.item)
    return {
        "user_cuisine_ctr": _smoothed(cuisine_clicks, cuisine_count),
        "user_cuisine_count": cuisine_count,
        "user_item_clicks": pair_clicks,
        "item_ctr": _smoothed(item_clicks, item_count),
        "item_count": item_count,
        "stats_as_of_ms": requested - 1,
    }


def _smoothed(clicks: Ints, count: Ints) -> Floats:
    """A rate that starts at one in six, about the log's average."""
    return (clicks + 1) / (count + 6)


def _orders(rng: np.random.Generator, shown: Exposures, ordered: NDArray[np.bool_]) -> pa.Table:
    """The orders as events: most within nine minutes of the click, some too late to count."""
    user, item, clicked = shown.user[ordered], shown.item[ordered], shown.time_ms[ordered]
    late = rng.random(len(user)) < LATE_ORDERS
    delay = np.where(late, rng.uniform(11, 25, len(user)), rng.uniform(1, 9, len(user)))
    time_ms = clicked + (delay * MINUTE_MS).astype(np.int64)
    events = pa.table(
        {"user_id": user, "item_id": item, "time_ms": time_ms, "type": ["order"] * len(user)}
    )
    return events.sort_by([("time_ms", "ascending"), ("user_id", "ascending")])


def _items(world: World) -> pa.Table:
    return pa.table(
        {
            "item_id": np.arange(len(world.cuisine)),
            "cuisine": [CUISINES[c] for c in world.cuisine],
            "price": world.price,
            "rating": world.rating,
        }
    )


def _users(world: World) -> pa.Table:
    return pa.table(
        {
            "user_id": np.arange(len(world.city)),
            "city": [CITIES[c] for c in world.city],
            "age": world.age,
            "is_member": world.is_member,
        }
    )
