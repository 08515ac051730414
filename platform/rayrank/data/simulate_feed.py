"""A simulated feed: interests that come and go, and behaviours that change what comes next.

What a model needs to know is in the sequences; `simulate_feed_world` says what moves users. The
true probability of each label, given everything that happened before the item was asked for, is
in the columns `p_click` and `p_like`.
"""

import numpy as np
import pyarrow as pa

from rayrank.data.config import SimulateConfig
from rayrank.data.running import running_counts
from rayrank.data.simulate_feed_traffic import live, slates
from rayrank.data.simulate_feed_world import (
    COUNTRIES,
    Bools,
    Feed,
    Floats,
    Ints,
    draw_feed,
    propensity,
)
from rayrank.data.simulate_traffic import DAY_MS, FIRST_DAY_MS, MINUTE_MS, requests_per_day

SAVED_AFTER_MS = 2_000
"""Before the next item is shown."""


def feed(config: SimulateConfig) -> dict[str, pa.Table]:
    """Exposures, items, users, events."""
    rng = np.random.default_rng(config.seed)
    world = draw_feed(rng, config.users, config.items, config.days)
    requests = requests_per_day(
        rng, config.users, config.days, config.mean_length, config.max_length
    )
    asked = slates(rng, world, requests)
    lived = live(rng, world, asked, config.max_length)

    request, position = np.nonzero(lived.shown)
    user, item, time_ms = asked.user[request], asked.item[lived.shown], asked.time_ms[lived.shown]
    click = lived.click[lived.shown].astype(np.int64)
    exposures = pa.table(
        {
            "user_id": user,
            "item_id": item,
            "time_ms": time_ms,
            "request_id": request,
            "position": position,
            "propensity": propensity(position),
            "hour": (time_ms - FIRST_DAY_MS) % DAY_MS // (60 * MINUTE_MS),
            "click": click,
            "like": lived.like[lived.shown].astype(np.int64),
            **_statistics(user, item, world.author, asked.time_ms[request, 0], time_ms, click),
            "p_click": lived.p_click[lived.shown],
            "p_like": lived.p_like[lived.shown],
        }
    )
    return {
        "exposures": exposures.sort_by([("time_ms", "ascending"), ("user_id", "ascending")]),
        "items": _items(world),
        "users": pa.table(
            {
                "user_id": np.arange(config.users),
                "country": [COUNTRIES[c] for c in world.country],
                "age": world.age,
            }
        ),
        "events": _saves(user, item, time_ms, lived.save[lived.shown]),
    }


def _statistics(
    user: Ints, item: Ints, author: Ints, asked_ms: Ints, time_ms: Ints, click: Ints
) -> dict[str, Ints | Floats]:
    """What a feature store would have returned when the slate was asked for. Of users and items,
    and of users and authors; none of users and topics, for nobody has labelled these."""

    def known(key: Ints) -> tuple[Ints, Ints]:
        clicks, count = running_counts(key, asked_ms, time_ms, click)
        return clicks.astype(np.int64), count.astype(np.int64)

    user_clicks, user_count = known(user)
    item_clicks, item_count = known(item)
    author_clicks, author_count = known(user * (author.max() + 1) + author[item])
    return {
        "user_ctr": (user_clicks + 1) / (user_count + 6),
        "user_count": user_count,
        "item_ctr": (item_clicks + 1) / (item_count + 6),
        "item_count": item_count,
        "user_author_clicks": author_clicks,
        "user_author_count": author_count,
        "stats_as_of_ms": asked_ms - 1,
    }


def _saves(user: Ints, item: Ints, time_ms: Ints, save: Bools) -> pa.Table:
    events = pa.table(
        {
            "user_id": user[save],
            "item_id": item[save],
            "time_ms": time_ms[save] + SAVED_AFTER_MS,
            "type": ["save"] * int(save.sum()),
        }
    )
    return events.sort_by([("time_ms", "ascending"), ("user_id", "ascending")])


def _items(world: Feed) -> pa.Table:
    content = pa.array(world.content.astype(np.float32).tolist(), pa.list_(pa.float32()))
    items = np.arange(len(world.author))
    return pa.table(
        {
            "item_id": items,
            "author_id": world.author,
            "channel": world.channel,
            "content": content,
        }
    )
