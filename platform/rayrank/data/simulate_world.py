"""The hidden truth behind the simulated restaurants: who likes what, and so clicks and orders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CUISINES = [
    *("sichuan", "hunan", "hotpot"),
    *("noodles", "dumplings", "congee"),
    *("cantonese", "japanese", "korean"),
    *("burgers", "pizza", "desserts"),
]
FAMILY = np.arange(len(CUISINES)) // 3
"""Moods are for a family of cuisines: something hot, something light, ..."""
CITIES = ["shanghai", "hangzhou", "nanjing", "suzhou"]
TASTES = 4

# Log-odds of the cuisines at lunch, at dinner and late.
SLOT = np.array(
    [
        [0.0, 0.3, -0.6, 0.7, 0.5, 0.1, 0.3, 0.1, 0.0, 0.0, -0.6, -0.7],
        [0.5, 0.2, 0.6, -0.3, -0.3, -0.4, 0.2, 0.3, 0.3, -0.2, 0.2, -0.4],
        [-0.2, -0.3, 0.1, -0.2, 0.0, 0.5, -0.7, -0.3, 0.0, 0.5, 0.4, 0.9],
    ]
)


@dataclass(frozen=True)
class World:
    """Users, items and days as latent log-odds; nothing here is in the log but by its effects."""

    city: Ints
    age: Ints
    is_member: Ints
    user_xy: Floats
    eagerness: Floats
    thrift: Floats
    """Per user: log-odds per standard deviation of log price."""
    taste: Floats
    """(users, days, cuisines), drifting slowly."""
    mood: Floats
    """(users, days, cuisines), drawn anew every day."""

    cuisine: Ints
    price: Floats
    rating: Floats
    item_xy: Floats
    appeal: Floats
    """(days, items): quality plus a drifting fashion."""
    popularity: Floats
    """(days, items): how often an item is shown."""

    def distance_km(self, user: Ints, item: Ints) -> Floats:
        """As the crow flies, never quite zero."""
        east, north = (self.user_xy[user] - self.item_xy[item]).T
        return np.hypot(east, north) + 0.3

    def p_click(self, user: Ints, item: Ints, day: Ints, slot: Ints, position: Ints) -> Floats:
        """The true click probability of each exposure."""
        cuisine = self.cuisine[item]
        logit = (
            -1.3
            + self.eagerness[user]
            + self.taste[user, day, cuisine]
            + self.mood[user, day, cuisine]
            + self.thrift[user] * self._dearness(item)
            + self.appeal[day, item]
            + 0.5 * SLOT[slot, cuisine]
            - 0.06 * position
            - 0.2 * self.distance_km(user, item)
        )
        return _sigmoid(logit)

    def p_order_given_click(self, user: Ints, item: Ints, day: Ints, slot: Ints) -> Floats:
        """The true probability that an order, early or late, follows the click."""
        logit = (
            -1.1
            + 0.6 * self.is_member[user]
            + 0.4 * self.taste[user, day, self.cuisine[item]]
            + 0.5 * self.thrift[user] * self._dearness(item)
            + 0.6 * (self.rating[item] - 4.2)
            + np.array([0.3, 0.1, -0.3])[slot]
            - 0.15 * self.distance_km(user, item)
        )
        return _sigmoid(logit)

    def _dearness(self, item: Ints) -> Floats:
        log: Floats = np.log(self.price)
        return (log[item] - log.mean()) / log.std()


def draw_world(rng: np.random.Generator, users: int, items: int, days: int) -> World:
    """A world of its own for every state of `rng`."""
    cuisines = len(CUISINES)
    city = rng.integers(0, len(CITIES), users)
    age = rng.integers(18, 66, users)
    is_member = (rng.random(users) < 0.3).astype(np.int64)

    # Users share a few kinds of taste, so that a handful of clicks tells which; city and age
    # lean towards one each, which is all one knows of a new user.
    kinds = np.arange(TASTES)
    lean = 0.7 * (kinds == city[:, None]) + 0.7 * (kinds == age[:, None] // 17)
    kind = np.argmax(lean + rng.gumbel(size=lean.shape), axis=1)
    likes = np.zeros((TASTES, cuisines))
    for k in kinds:
        likes[k, (3 * k + np.array([0, 1, 5])) % cuisines] = [2.5, 2.3, 2.1]
        likes[k, (3 * k + np.array([6, 7, 9])) % cuisines] = -1.2
    own = rng.normal(0, 0.05, (users, 1, cuisines))
    drift = rng.normal(0, 0.03, (users, days, cuisines)).cumsum(axis=1)
    family = np.where(rng.random((users, days)) < 0.5, rng.integers(0, 4, (users, days)), -1)

    # Members and the older mind dear restaurants less, some even prefer them.
    means = is_member + (age >= 40)
    spending = np.argmax(
        3.0 * (np.arange(3) == means[:, None]) + rng.gumbel(size=(users, 3)), axis=1
    )

    quality = rng.normal(0, 0.35, items)
    fashion = rng.normal(0, 0.05, (days, items)).cumsum(axis=0)
    fame = rng.permutation(1.0 / (3 + np.arange(items)) ** 0.6)
    return World(
        city=city,
        age=age,
        is_member=is_member,
        user_xy=rng.uniform(0, 8, (users, 2)),
        eagerness=rng.normal(0, 0.3, users),
        thrift=np.array([-0.15, 0.0, 0.15])[spending],
        taste=likes[kind][:, None] + own + drift,
        mood=0.35 * (family[..., None] == FAMILY),
        cuisine=rng.permutation(np.arange(items) % cuisines),
        price=np.exp(rng.normal(3.5, 0.45, items)).round(1),
        rating=(4.2 + 0.4 * quality + rng.normal(0, 0.2, items)).clip(1, 5).round(1),
        item_xy=rng.uniform(0, 8, (items, 2)),
        appeal=quality + fashion,
        popularity=fame * np.exp(3 * fashion),
    )


def _sigmoid(logit: Floats) -> Floats:
    return 1 / (1 + np.exp(-logit))
