"""The hidden truth behind the simulated feed: who is after what, when, and what quenches it.

Everything that only a sequence shows is here, and is what real feeds have:

- Interests come and go. A user has a few of many topics; each is on or off by the day and comes
  back (a hobby, a team that plays, an illness in the family), and has its own time of day (news at
  breakfast, comedy at night).
- Heat. What was clicked makes its topic more attractive for some days, and a topic that leads on
  to another heats that too (a trailer, then its actors): people go on with what they are at. A like
  says that there was more to it than curiosity. What was looked at and passed over cools a little
  (it bores).
- Quests end. A click on what one has been after for a while may be a save: the recipe is found, the
  flight booked. Whatever heat was there before is spent, and the topic is cold for a day or two.
  So what a click means depends on what came after it.
- Examination. What stands lower is looked at less, whatever it is (Richardson et al., WWW 2007).
- Attraction is not quality: what gets clicks is not what gets likes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

TOPICS = 12
INTERESTS = (2, 4)
MISFILED = 0.15
"""The share of items whose channel is not their main topic."""
CONTENT = 16
COUNTRIES = ["cn", "de", "br", "in"]
PARTS = 3
"""Of the day in which a session starts: morning, noon, night."""

BASE = -1.5
"""Log-odds of a click on what is looked at, where nothing speaks for it."""
WISH = (0.8, 1.6)
"""How much an interest that is on adds to them: from, to."""
ENDS, RETURNS = 0.2, 0.15
"""A day's chance that an interest that is on goes off, and that one that is off comes back."""
RHYTHM = 0.9
"""So much stronger (a share) is an interest at its own time of day."""
HALF_LIFE_H = 48.0
"""Of heat, and of cold."""
CLICKED, LIKED, PASSED, LEADS_ON = 1.3, 1.0, -0.08, 1.0
"""What is added to the heat of a topic by a click, a like, a look without a click, and to that of
the topic that it leads on to by a click."""
SPENT, HOTTEST = -3.0, 3.0
"""What a save leaves, and the coldest; and the hottest."""
SAVED, SAVED_WARM = -2.5, 1.3
"""Log-odds of a save of what was clicked, of no heat and per unit of it."""


@dataclass(frozen=True)
class Feed:
    """Users, items and days as latent log-odds; nothing here is in the log but by its effects."""

    country: Ints
    age: Ints
    eagerness: Floats
    generosity: Floats
    """Per user: log-odds of a like."""
    interests: Ints
    """(users, 6): topics, the first `several` of them a user's own."""
    several: Ints
    wish: Floats
    """(days, users, topics): log-odds of what is on that day; zero for the rest."""
    part: Ints
    """(users, topics): when an interest is strongest."""

    topics: Ints
    """(items, 2), the main one first."""
    share: Floats
    """(items, 2), adding up to one."""
    author: Ints
    channel: Ints
    """Where the author filed the item: mostly under its main topic."""
    content: Floats
    """(items, CONTENT): what an encoder of text and pictures would say of the item."""
    appeal: Floats
    quality: Floats
    popularity: Floats
    """(days, items): how often an item is shown; zero before its first day."""
    leads_to: Ints
    """(topics,): where one topic leads on to."""

    def wanted(self, user: Ints, item: Ints, day: Ints, part: Ints) -> Floats:
        """Log-odds of the interests that are on, for items [n, k] shown to users [n]."""
        user, day, part = user[:, None, None], day[:, None, None], part[:, None, None]
        topics = self.topics[item]
        wish = self.wish[day, user, topics]
        in_time = np.where(self.part[user, topics] == part, RHYTHM, -RHYTHM / (PARTS - 1))
        wanted: Floats = (self.share[item] * wish * (1 + in_time)).sum(-1)
        return wanted

    def warmth(self, heat: Floats, item: Ints) -> Floats:
        """Log-odds of heat [n, topics] for items [n, k]."""
        rows = np.arange(len(item))[:, None, None]
        warmth: Floats = (self.share[item] * heat[rows, self.topics[item]]).sum(-1)
        return warmth

    def attraction(self, user: Ints, item: Ints, wanted: Floats, warmth: Floats) -> Floats:
        """The chance [n, k] of a click on what is looked at."""
        return sigmoid(BASE + self.eagerness[user][:, None] + self.appeal[item] + wanted + warmth)

    def p_like(self, user: Ints, item: Ints, wanted: Floats) -> Floats:
        """The chance [n, k] of a like of what was clicked."""
        return sigmoid(-2.2 + self.generosity[user][:, None] + self.quality[item] + 0.7 * wanted)

    def p_save(self, warmth: Floats) -> Floats:
        """The chance [n, k] that what was clicked is what one has been after."""
        return sigmoid(SAVED + SAVED_WARM * warmth)

    def after(
        self, heat: Floats, item: Ints, looked: Bools, click: Bools, like: Bools, save: Bools
    ) -> Floats:
        """Heat [n, topics] once the slates [n, k] were seen, in place."""
        rows = np.arange(len(item))[:, None, None]
        topics, share = self.topics[item], self.share[item]
        gain = CLICKED * click + LIKED * like + PASSED * (looked & ~click)
        np.add.at(heat, (rows, topics), gain[..., None] * share)
        onward = LEADS_ON * click[..., None] * share
        np.add.at(heat, (rows, self.leads_to[topics]), onward)
        heat.clip(SPENT, HOTTEST, out=heat)
        row, place = np.nonzero(save)
        heat[row, topics[row, place, 0]] = SPENT
        return heat


def propensity(position: Ints) -> Floats:
    """The chance that what stands there is looked at; position from 0."""
    chance: Floats = np.power(1.0 + position, -0.2)
    return chance


def cooled(heat: Floats, hours: Floats) -> Floats:
    """Heat [n, topics] after so many hours [n] away."""
    return heat * 0.5 ** (hours / HALF_LIFE_H)[:, None]


def draw_feed(rng: np.random.Generator, users: int, items: int, days: int) -> Feed:
    """A feed of its own for every state of `rng`."""
    fame = rng.permutation(1.0 / (5 + np.arange(TOPICS)) ** 0.5)
    order = np.argsort(-(np.log(fame) + rng.gumbel(size=(users, TOPICS))), axis=1)
    interests = order[:, : INTERESTS[1]]
    several = rng.integers(INTERESTS[0], INTERESTS[1] + 1, users)
    age = rng.integers(16, 70, users)

    main = rng.permutation(np.arange(items) % TOPICS)
    ring = rng.permutation(TOPICS)
    leads_to = np.empty(TOPICS, np.int64)
    leads_to[ring] = np.roll(ring, 1)
    topics = np.stack([main, rng.integers(0, TOPICS, items)], axis=1)
    share = rng.uniform(0.7, 1.0, items)
    share = np.stack([share, 1 - share], axis=1)
    # An author writes about one topic.
    authors = max(1, items // (8 * TOPICS))
    author = main + TOPICS * rng.integers(0, authors, items)
    meaning = rng.normal(size=(TOPICS, CONTENT))
    meaning *= 4 / np.linalg.norm(meaning, axis=1, keepdims=True)
    voice = rng.normal(0, 0.4, (TOPICS * authors, CONTENT))
    content = (share[..., None] * meaning[topics]).sum(1) + voice[author]

    return Feed(
        country=rng.integers(0, len(COUNTRIES), users),
        age=age,
        eagerness=rng.normal(0, 0.4, users) + 0.01 * (40 - age),
        generosity=rng.normal(0, 0.5, users),
        interests=interests,
        several=several,
        wish=_wishes(rng, interests, several, days),
        part=rng.integers(0, PARTS, (users, TOPICS)),
        topics=topics,
        share=share,
        author=author,
        channel=np.where(rng.random(items) < MISFILED, topics[:, 1], main),
        content=content + rng.normal(0, 0.4, content.shape),
        appeal=rng.normal(0, 0.4, items),
        quality=rng.normal(0, 0.6, items),
        popularity=_popularity(rng, main, days),
        leads_to=leads_to,
    )


def _wishes(rng: np.random.Generator, interests: Ints, several: Ints, days: int) -> Floats:
    """(days, users, topics): a user's own interests switch on and off from day to day."""
    own = np.arange(interests.shape[1]) < several[:, None]
    strength = rng.uniform(*WISH, own.shape) * own
    on = rng.random(own.shape) < RETURNS / (RETURNS + ENDS)
    wish = np.zeros((days, len(interests), TOPICS))
    for day in range(days):
        np.put_along_axis(wish[day], interests, strength * on, axis=1)
        switches = rng.random(own.shape) < np.where(on, ENDS, RETURNS)
        on = on ^ switches
    return wish


def _popularity(rng: np.random.Generator, topic: Ints, days: int) -> Floats:
    """(days, items): a long tail, fashions, and a third of the items not there from the start."""
    items = len(topic)
    born = np.where(rng.random(items) < 0.35, rng.integers(0, days, items), 0)
    born[np.unique(topic, return_index=True)[1]] = 0  # no day without an item of every topic
    fame = rng.permutation(1.0 / (5 + np.arange(items)) ** 0.7)
    fashion = rng.normal(0, 0.2, (days, items)).cumsum(axis=0)
    return fame * np.exp(fashion) * (np.arange(days)[:, None] >= born)


def sigmoid(logit: Floats) -> Floats:
    """1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-logit))
