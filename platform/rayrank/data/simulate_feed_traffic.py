"""Who opens the feed when, what is shown, and what becomes of it, request after request.

What a user does changes what he does next, so the log is lived through in the order of time: all
users at once, the n-th request of each in step n.
"""

from dataclasses import dataclass

import numpy as np

from rayrank.data.simulate_feed_world import (
    TOPICS,
    Bools,
    Feed,
    Floats,
    Ints,
    cooled,
    propensity,
)
from rayrank.data.simulate_traffic import DAY_MS, FIRST_DAY_MS, MINUTE_MS, SLATE, sessions, starts

MORE_DRAWS = 4
"""So many more items are drawn than a slate holds, for those that come twice."""
OF_INTEREST = 0.6
"""The share of a slate that is retrieved for the user; the rest is what is popular."""
PART_START = np.array([[420, 510], [720, 810], [1200, 1320]])
"""The minutes of the day between which a session starts; apart enough that none meets the next."""
HOUR_MS = 60 * MINUTE_MS


@dataclass(frozen=True)
class Slates:
    """What is asked for: R requests ascending by user and time, and K places for items in each."""

    user: Ints
    day: Ints
    part: Ints
    item: Ints
    """[R, K]; of places beyond `there`, any."""
    there: Bools
    """[R, K]: the places that hold an item."""
    time_ms: Ints
    """[R, K], ascending."""


@dataclass(frozen=True)
class Lived:
    """What became of the slates, [R, K] each, of the places that hold what was shown."""

    p_click: Floats
    p_like: Floats
    shown: Bools
    click: Bools
    like: Bools
    save: Bools


def slates(rng: np.random.Generator, feed: Feed, requests: Ints) -> Slates:
    """Spread requests (users, days) over sessions and fill each with different items."""
    user, day, part = sessions(rng, requests)
    size = rng.integers(SLATE[0], SLATE[1] + 1, len(user))
    item = _choose_items(rng, feed, user, day, SLATE[1] + MORE_DRAWS)
    item, distinct = _distinct_first(item)
    item, place = item[:, : SLATE[1]], np.arange(SLATE[1])
    there = (place < size[:, None]) & (place < distinct[:, None])

    first = starts(user, day, part)
    session = np.cumsum(first) - 1
    begin = (rng.uniform(*PART_START[part[first]].T) * MINUTE_MS).astype(np.int64)[session]
    pauses = rng.integers(4_000, 15_000, item.shape) * there
    elapsed = pauses.ravel().cumsum().reshape(item.shape)
    elapsed -= elapsed[first, 0][session][:, None]
    return Slates(
        user, day, part, item, there, (FIRST_DAY_MS + day * DAY_MS + begin)[:, None] + elapsed
    )


def live(rng: np.random.Generator, feed: Feed, asked: Slates, max_length: int) -> Lived:
    """Go through everybody's requests. One that could make a user row longer than max_length
    (clicks so far and the day's exposures) is not made."""
    looks, clicks, likes, saves = rng.random((4, *asked.item.shape))
    size = asked.there.sum(1)
    today = _running(size, starts(asked.user, asked.day))
    seen = propensity(np.arange(asked.item.shape[1]))
    lived = Lived(*np.zeros((2, *asked.item.shape)), *np.zeros((4, *asked.item.shape), bool))

    users = len(feed.age)
    heat, clicked, last_ms = np.zeros((users, TOPICS)), np.zeros(users, np.int64), np.zeros(users)
    first = np.flatnonzero(starts(asked.user))
    count = np.diff(first, append=len(asked.user))
    for n in range(count.max(initial=0)):
        now = first[count > n] + n
        now = now[clicked[asked.user[now]] + today[now] + size[now] <= max_length]
        user, item, there = asked.user[now], asked.item[now], asked.there[now]
        now_ms = asked.time_ms[now, 0]
        warm = cooled(heat[user], (now_ms - last_ms[user]) / HOUR_MS)
        wanted = feed.wanted(user, item, asked.day[now], asked.part[now])
        warmth = feed.warmth(warm, item)
        attraction = feed.attraction(user, item, wanted, warmth)
        p_like = feed.p_like(user, item, wanted)
        looked = there & (looks[now] < seen)
        click = looked & (clicks[now] < attraction)
        like = click & (likes[now] < p_like)
        save = click & (saves[now] < feed.p_save(warmth))
        heat[user] = feed.after(warm, item, looked, click, like, save)
        last_ms[user] = now_ms
        clicked[user] += click.sum(1)
        lived.shown[now] = there
        lived.p_click[now] = seen * attraction
        lived.p_like[now] = seen * attraction * p_like
        lived.click[now], lived.like[now], lived.save[now] = click, like, save
    return lived


def _choose_items(rng: np.random.Generator, feed: Feed, user: Ints, day: Ints, k: int) -> Ints:
    """Items [requests, k] by the day's popularity, some of them of the user's own topics, whether
    these are on or not."""
    shape = (len(user), k)
    mine = (rng.random(shape) * feed.several[user][:, None]).astype(np.int64)
    topic = feed.topics[:, 0]
    by_topic = np.argsort(topic, kind="stable")
    weight = feed.popularity[:, by_topic]
    bounds = np.searchsorted(topic[by_topic], np.arange(TOPICS))
    of_topic = np.add.reduceat(weight, bounds, axis=1)
    # One ladder over (day, topic, item): each (day, topic) is one unit long.
    ladder = (weight / of_topic[:, topic[by_topic]]).ravel().cumsum()
    popular = (of_topic / of_topic.sum(1, keepdims=True)).cumsum(axis=1)
    any_topic = (rng.random((*shape, 1)) > popular[day][:, None]).sum(-1).clip(max=TOPICS - 1)
    chosen = np.where(
        rng.random(shape) < OF_INTEREST, feed.interests[user[:, None], mine], any_topic
    )
    rung = day[:, None] * TOPICS + chosen + rng.random(shape)
    found = np.minimum(np.searchsorted(ladder, rung, side="right"), len(ladder) - 1)
    return by_topic[found % len(by_topic)]


def _distinct_first(item: Ints) -> tuple[Ints, Ints]:
    """Items [n, k] with those that stand in their row already moved to its end, and the number
    [n] of those that do not."""
    order = np.argsort(item, axis=1, kind="stable")
    ascending = np.take_along_axis(item, order, axis=1)
    again = np.zeros(item.shape, bool)
    np.put_along_axis(again, order[:, 1:], ascending[:, 1:] == ascending[:, :-1], axis=1)
    front = np.argsort(again, axis=1, kind="stable")
    return np.take_along_axis(item, front, axis=1), (~again).sum(1)


def _running(value: Ints, first: Bools) -> Ints:
    """The sum of [n] values up to each, begun anew at each first one."""
    total = value.cumsum()
    running: Ints = total - (total - value)[first][np.cumsum(first) - 1]
    return running
