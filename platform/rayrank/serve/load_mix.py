"""Requests as users make them: some return often and most seldom, their histories grow with each
visit, and each time there are 100 to 1,000 candidates.

This is the server scenario of MLPerf's DLRM-v3, in small. Requests are made of what `/v1/models`
tells of a bundle, so that they fit any. Their ids are drawn at random: those that training never
saw are scored as unknown ones, which costs the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson

from rayrank.errors import ServeError

Json = dict[str, Any]

NOON_MS = 1_790_769_600_000
"""When the load begins, as its requests have it: a noon in UTC. All follow within hours."""
STEP_MS = 1000
"""From one request to the next, as they have it."""
PAST_MS = 30 * 86_400_000
"""How far back what users did before their first visit goes."""
IDS = 10_000
"""Ids lie below."""


@dataclass(frozen=True)
class MixSizes:
    """How users are spread."""

    users: int = 10_000
    zipf: float = 1.0
    """The n-th most frequent user comes n**zipf times less often than the first."""
    first: tuple[int, int] = (50, 500)
    """Behaviours at the first visit, from and to, short ones as often as long ones by factors."""
    more: tuple[int, int] = (1, 20)
    """Behaviours from one visit to the next."""
    longest: int = 1000
    """Who has more sends the latest."""
    candidates: tuple[int, int] = (100, 1000)
    ids: int = 4
    """In a list, at most."""

    def within(self, limits: Json) -> "MixSizes":
        """The same, as far as an endpoint's limits go."""
        low, high = (min(bound, limits["candidates"]) for bound in self.candidates)
        return replace(
            self,
            longest=min(self.longest, limits["behaviours"]),
            candidates=(low, high),
            ids=min(self.ids, limits["list_ids"]),
        )


class Mix:
    """An endless row of requests, a function of what they are for, the sizes and the seed."""

    def __init__(self, model: Json, sizes: MixSizes | None = None, seed: int = 0) -> None:
        """model: one of those that `/v1/models` tells of. Raises ServeError for a feature of a kind
        that is not known here."""
        self.sizes = (sizes or MixSizes()).within(model["limits"])
        self._request, self._most_bytes = model["request"], model["limits"]["body_bytes"]
        self._draw = np.random.default_rng(seed)
        shares = 1 / np.arange(1, self.sizes.users + 1) ** self.sizes.zipf
        self._until = np.cumsum(shares / shares.sum())
        self._known: dict[int, _User] = {}
        self._made = 0

    @property
    def users(self) -> int:
        """How many different ones have come."""
        return len(self._known)

    def bodies(self) -> Iterator[bytes]:
        """The requests as JSON. Raises ServeError for one that the endpoint takes for too large."""
        while True:
            body = orjson.dumps(self.next())
            if len(body) > self._most_bytes:
                raise ServeError(
                    f"a request of the mix has {len(body):,} bytes, and the endpoint takes "
                    f"{self._most_bytes:,}: raise limits.body_bytes"
                )
            yield body

    def next(self) -> Json:
        """The next request."""
        now = NOON_MS + STEP_MS * self._made
        self._made += 1
        number = min(int(np.searchsorted(self._until, self._draw.random())), len(self._until) - 1)
        user = self._known.get(number)
        if user is None:
            told = self._values_of_one(self._request["profile"])
            user = self._known[number] = _User(told, {}, now - PAST_MS)
            low, high = np.log(self.sizes.first)
            self._behave(user, int(np.exp(self._draw.uniform(low, high))), now)
        else:
            self._behave(user, int(self._draw.integers(*self.sizes.more, endpoint=True)), now)
        return {
            "user": number,
            "time_ms": now,
            "profile": user.profile,
            "sequences": dict(user.sequences),
            "candidates": self._candidates(),
        }

    def _behave(self, user: "_User", count: int, now: int) -> None:
        """Something since the last visit, in any of the sequences."""
        sequences = self._request["sequences"]
        if not sequences:
            return
        shares = self._draw.multinomial(count, [1 / len(sequences)] * len(sequences))
        for (name, told), more in zip(sequences.items(), shares.tolist(), strict=True):
            times = np.sort(self._draw.integers(user.seen_ms + 1, now, more, endpoint=True))
            new = {"time_ms": times.tolist(), **self._columns(told["features"], more)}
            before = user.sequences.get(name, {column: [] for column in new})
            most = self.sizes.longest // len(sequences)
            user.sequences[name] = {
                column: _last(before[column] + values, most) for column, values in new.items()
            }
        user.seen_ms = now

    def _candidates(self) -> Json:
        features = self._request["candidates"]
        count = int(self._draw.integers(*self.sizes.candidates, endpoint=True))
        own = [told for told in features.values() if "same_as" in told]
        item = own[0] if own else {"kind": "id"}
        others = {name: told for name, told in features.items() if "same_as" not in told}
        return {"item": self._values(item, "item", count), **self._columns(others, count)}

    def _columns(self, features: Json, count: int) -> Json:
        return {name: self._values(told, name, count) for name, told in features.items()}

    def _values_of_one(self, features: Json) -> Json:
        return {name: values[0] for name, values in self._columns(features, 1).items()}

    def _values(self, told: Json, name: str, count: int) -> list[Any]:
        match told["kind"]:
            case "id":
                return self._ids(told, count)
            case "ids":
                lengths = self._draw.integers(0, self.sizes.ids, count, endpoint=True)
                ids = self._ids(told, int(lengths.sum()))
                ends = np.cumsum(lengths).tolist()
                return [ids[end - n : end] for end, n in zip(ends, lengths.tolist(), strict=True)]
            case "number" | "bucket":
                low, high = told.get("range", (0.0, 1.0))
                low = max(low, 0.0) if high > 0 else low  # counts, of which logarithms are taken
                return np.round(self._draw.uniform(low, high, count), 4).tolist()
            case "vector":
                return np.round(self._draw.normal(size=(count, told["width"])), 4).tolist()
            case kind:
                raise ServeError(f"feature {name}: of kind {kind}, which this mix cannot make")

    def _ids(self, told: Json, count: int) -> list[Any]:
        ids: list[Any] = self._draw.integers(0, IDS, count).tolist()
        return list(map(str, ids)) if told.get("id_type") == "string" else ids


def _last(values: list[Any], most: int) -> list[Any]:
    return values[max(0, len(values) - most) :]


@dataclass
class _User:
    profile: Json
    sequences: Json
    seen_ms: int
    """When they did what they did last."""
