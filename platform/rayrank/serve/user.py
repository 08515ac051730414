"""One user of a request: columns checked against the schema, turned into a user row.

    {"user": …, "time_ms": …,
     "profile":    {FEATURE: value, …},
     "sequences":  {SEQUENCE: {"time_ms": […], "known_at_ms": […], FEATURE: […], …}, …},
     "candidates": {"item": […], "time_ms": […], FEATURE: […], …}}

`profile`, `sequences` and each sequence may be left out where there is nothing to say; known_at_ms
defaults to the behaviours' times, the candidates' time_ms to the request's. From the columns on,
the code is the training reader's: `encode`, then `group`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from rayrank.data.crosses import with_crosses
from rayrank.data.ids import IdTypes
from rayrank.data.times import EARLIEST_MS, LATEST_MS, window_start
from rayrank.data.user_rows import Behaviours, Candidates, group
from rayrank.schema import CANDIDATES, PROFILE, Schema
from rayrank.serve.columns import (
    demand_agreement,
    demand_within,
    item_keys,
    key_of,
    object_of,
    required,
    time_of,
    times_of,
)
from rayrank.serve.errors import Faults, RequestError
from rayrank.serve.limits import Limits
from rayrank.serve.values import Column, column_of, encode_column

SECTIONS = ("user", "time_ms", "profile", "sequences", "candidates")


@dataclass(frozen=True)
class Listed:
    """A user's candidates, as the client listed them."""

    items: Column
    order: np.ndarray
    """int64 [candidates]: the row's candidates ascend in time; where each stood in the request."""


@dataclass(frozen=True)
class UserAsked:
    """A user who can be scored."""

    row: pa.Table
    """One user row, as `data.user_rows` describes, without labels."""
    listed: Listed
    ahead: int
    """How many behaviours were known a little after the request, by another clock: they count as
    known now."""


class UserReader:
    """Reads the users of one request, and notes all that is wrong with them."""

    def __init__(self, schema: Schema, id_types: IdTypes, limits: Limits, faults: Faults) -> None:
        self.schema, self.id_types, self.limits, self.faults = schema, id_types, limits, faults
        self._candidates_left, self._behaviours_left = limits.candidates, limits.behaviours

    def read(self, told: Any, prefix: str = "") -> UserAsked | None:
        """A user; None where a fault was noted. prefix: of the names of fields in faults."""
        with self.faults.noted():
            return self._read(told, prefix)
        return None

    def _read(self, told: Any, prefix: str) -> UserAsked | None:
        before = len(self.faults)
        request = object_of(told, prefix.rstrip("."))
        self._only(request, SECTIONS, prefix)
        user: int | str = ""
        now, start = LATEST_MS, EARLIEST_MS  # where the request's own is wrong, all others are not
        with self.faults.noted():
            user = key_of(required(request, "user", prefix), f"{prefix}user")
        with self.faults.noted():
            now = time_of(required(request, "time_ms", prefix), f"{prefix}time_ms")
            start = int(window_start(pa.array([now]), self.schema)[0].as_py())
        candidates = self._candidates(request, prefix, start, now)
        sequences = self._sequences(request, prefix, now)
        profile = pa.table({})
        with self.faults.noted():
            profile = self._profile(request, prefix, user)
        if candidates is None or len(self.faults) > before:
            return None
        scored, listed = candidates
        ahead = sum(int((told.known_at_ms > now).sum()) for told in sequences.values())
        of_now = {
            name: replace(
                told,
                time_ms=np.minimum(told.time_ms, now),
                known_at_ms=np.minimum(told.known_at_ms, now),
            )
            for name, told in sequences.items()
        }
        rows, _ = group(*with_crosses(self.schema, scored, of_now, profile), pa.array([str(user)]))
        return UserAsked(rows, listed, ahead)

    def _candidates(
        self, request: dict[str, Any], prefix: str, start: int, now: int
    ) -> tuple[Candidates, Listed] | None:
        where = f"{prefix}candidates"
        with self.faults.noted():
            columns = object_of(required(request, "candidates", prefix), where)
            items, keys = self._items(columns, where)
            count = len(items)
            shown = np.full(count, now)
            with self.faults.noted():
                most = self.limits.candidates
                shown = self._times(columns, "time_ms", where, most, length=count, default=shown)
                demand_within(
                    shown, start, now, f"{where}.time_ms", "the request's window and time"
                )
            columns = self._with_item(columns, items, where)
            features = self._features(columns, CANDIDATES.token, where, count, {"item", "time_ms"})
            order = np.argsort(shown, kind="stable")
            told = Candidates(
                user=np.zeros(count, np.int64),
                window_start_ms=np.full(count, start),
                split=np.zeros(count, np.int64),
                time_ms=shown,
                item=keys,
                features=features,
            )
            ascend = (np.diff(shown) >= 0).all()
            return told if ascend else told.take(order), Listed(items, order)
        return None

    def _items(self, columns: dict[str, Any], where: str) -> tuple[Column, pa.Array]:
        """As they were listed, and as text, by which rows know them."""
        items = self._column(columns, "item", where, self._candidates_left)
        if not len(items):
            raise RequestError(422, f"{where}.item", "is empty; expected at least one candidate")
        self._candidates_left -= len(items)
        return items, item_keys(items, f"{where}.item")

    def _with_item(self, columns: dict[str, Any], items: Column, where: str) -> dict[str, Any]:
        """The columns, those that carry the item's own id among them: which may be left out, and
        must agree."""
        columns = dict(columns)
        for name in self.schema.given_features_of(CANDIDATES.token):
            if self.schema.is_item(name):
                sent = columns.setdefault(name, items)
                with self.faults.noted():
                    demand_agreement(sent, items, f"{where}.{name}")
        return columns

    def _sequences(self, request: dict[str, Any], prefix: str, now: int) -> dict[str, Behaviours]:
        where, parsed = f"{prefix}sequences", {}
        with self.faults.noted():
            sequences = object_of(request.get("sequences", {}), where)
            self._only(sequences, self.schema.sequences, f"{where}.")
            for name in self.schema.sequences:
                with self.faults.noted():
                    told = sequences.get(name, {})
                    parsed[name] = self._behaviours(told, name, f"{where}.{name}", now)
        return parsed

    def _behaviours(self, columns: Any, name: str, where: str, now: int) -> Behaviours:
        columns = object_of(columns, where)
        nothing = None if columns else np.empty(0, np.int64)
        most = self._behaviours_left
        happened = self._times(columns, "time_ms", where, most, default=nothing)
        count = len(happened)
        known = self._times(columns, "known_at_ms", where, most, length=count, default=happened)
        self._behaviours_left -= count
        with self.faults.noted():
            told = "known_at_ms" if "known_at_ms" in columns else "time_ms"
            latest = now + self.limits.clock_skew_ms
            demand_within(known, EARLIEST_MS, latest, f"{where}.{told}", "the request's time")
        with self.faults.noted():
            if (known < happened).any():
                earlier = "lies before the behaviour's time_ms"
                raise RequestError(422, f"{where}.known_at_ms", earlier)
        features = self._features(columns, name, where, count, {"time_ms", "known_at_ms"})
        keep = self.schema.sequences[name].keep
        return Behaviours(np.zeros(count, np.int64), happened, known, features, keep)

    def _profile(self, request: dict[str, Any], prefix: str, user: int | str) -> pa.Table:
        where = f"{prefix}profile"
        given = object_of(request.get("profile", {}), where)
        columns = {name: [value] for name, value in given.items()}
        for name in self.schema.given_features_of(PROFILE.token):
            if self.schema.is_user(name):
                if name in columns:
                    told = "is taken from user; leave it out"
                    self.faults.note(RequestError(422, f"{where}.{name}", told))
                columns[name] = [user]
        return self._features(columns, PROFILE.token, where, 1, set())

    def _features(
        self, columns: dict[str, Any], token: str, where: str, length: int, other: set[str]
    ) -> pa.Table:
        features = self.schema.given_features_of(token)
        self._only(columns, {*features, *other}, f"{where}.")
        encoded: dict[str, pa.Array] = {}
        for name, feature in features.items():
            with self.faults.noted():
                if name not in columns and feature.default is None and length:
                    raise RequestError(422, f"{where}.{name}", "is missing")
                # A column that may be missing is missing in every row.
                values = columns.get(name, [None] * length)
                kind = self.id_types.get(name, "integer")
                encoded[name] = encode_column(
                    values, feature, kind, f"{where}.{name}", length, self.limits
                )
        return pa.table(encoded) if encoded else pa.table({"": pa.nulls(length)}).select([])

    def _only(self, columns: dict[str, Any], known: Iterable[str], prefix: str) -> None:
        for name in columns:
            if name not in known:
                told = f"unknown field; expected {', '.join(sorted(known))}"
                self.faults.note(RequestError(422, f"{prefix}{name}", told))

    def _column(self, columns: dict[str, Any], name: str, where: str, most: int) -> Column:
        values = column_of(required(columns, name, f"{where}."), f"{where}.{name}")
        if len(values) > most:
            told = f"has {len(values)} entries; at most {most} are allowed"
            raise RequestError(413, f"{where}.{name}", told)
        return values

    def _times(
        self,
        columns: dict[str, Any],
        name: str,
        where: str,
        most: int,
        *,
        length: int | None = None,
        default: np.ndarray | None = None,
    ) -> np.ndarray:
        """int64 [length], or of any length; default: where there is no such column."""
        if name not in columns and default is not None:
            return default
        values = self._column(columns, name, where, most)
        if length is not None and len(values) != length:
            told = f"expected {length} values, found {len(values)}"
            raise RequestError(422, f"{where}.{name}", told)
        return times_of(values, f"{where}.{name}")
