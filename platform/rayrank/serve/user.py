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
import pyarrow.compute as pc

from rayrank.data.crosses import with_crosses
from rayrank.data.ids import IdTypes
from rayrank.data.times import EARLIEST_MS, LATEST_MS, window_start
from rayrank.data.user_rows import Behaviours, Candidates, group
from rayrank.schema import CANDIDATES, PROFILE, Schema
from rayrank.serve.errors import Faults, RequestError
from rayrank.serve.limits import Limits
from rayrank.serve.values import Column, column_of, encode_column, found_in

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
        before = len(self.faults)
        asked = None
        with self.faults.noted():
            asked = self._read(told, prefix)
        return asked if len(self.faults) == before else None

    def _read(self, told: Any, prefix: str) -> UserAsked | None:
        request = _object(told, prefix.rstrip("."))
        self._only(request, SECTIONS, prefix)
        before = len(self.faults)
        user: int | str = ""
        now, start = LATEST_MS, EARLIEST_MS  # where the request's own is wrong, all others are not
        with self.faults.noted():
            user = _key(_required(request, "user", prefix), f"{prefix}user")
        with self.faults.noted():
            now = _time(_required(request, "time_ms", prefix), f"{prefix}time_ms")
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
            columns = _object(_required(request, "candidates", prefix), where)
            items, keys = self._items(columns, where)
            count = len(items)
            shown = np.full(count, now)
            with self.faults.noted():
                most = self.limits.candidates
                shown = self._times(columns, "time_ms", where, most, length=count, default=shown)
                _within(shown, start, now, f"{where}.time_ms", "the request's window and time")
            columns = self._with_item(columns, items, where)
            features = self._features(columns, CANDIDATES.token, where, count, {"item", "time_ms"})
            order = np.argsort(shown, kind="stable")
            picked = pa.array(order)
            return (
                Candidates(
                    user=np.zeros(count, np.int64),
                    window_start_ms=np.full(count, start),
                    split=np.zeros(count, np.int64),
                    time_ms=shown[order],
                    item=keys.take(picked),
                    features=features.take(picked),
                ),
                Listed(items, order),
            )
        return None

    def _items(self, columns: dict[str, Any], where: str) -> tuple[Column, pa.Array]:
        """As they were listed, and as text, by which rows know them."""
        items = self._column(columns, "item", where, self._candidates_left)
        if not len(items):
            raise RequestError(422, f"{where}.item", "is empty; expected at least one candidate")
        self._candidates_left -= len(items)
        return items, _keys(items, f"{where}.item")

    def _with_item(self, columns: dict[str, Any], items: Column, where: str) -> dict[str, Any]:
        """The columns, those that carry the item's own id among them: which may be left out, and
        must agree."""
        columns = dict(columns)
        for name in self.schema.given_features_of(CANDIDATES.token):
            if self.schema.is_item(name):
                sent = columns.setdefault(name, items)
                with self.faults.noted():
                    _agree(sent, items, f"{where}.{name}")
        return columns

    def _sequences(self, request: dict[str, Any], prefix: str, now: int) -> dict[str, Behaviours]:
        where, parsed = f"{prefix}sequences", {}
        with self.faults.noted():
            sequences = _object(request.get("sequences", {}), where)
            self._only(sequences, self.schema.sequences, f"{where}.")
            for name in self.schema.sequences:
                with self.faults.noted():
                    told = sequences.get(name, {})
                    parsed[name] = self._behaviours(told, name, f"{where}.{name}", now)
        return parsed

    def _behaviours(self, columns: Any, name: str, where: str, now: int) -> Behaviours:
        columns = _object(columns, where)
        nothing = None if columns else np.empty(0, np.int64)
        most = self._behaviours_left
        happened = self._times(columns, "time_ms", where, most, default=nothing)
        count = len(happened)
        known = self._times(columns, "known_at_ms", where, most, length=count, default=happened)
        self._behaviours_left -= count
        with self.faults.noted():
            told = "known_at_ms" if "known_at_ms" in columns else "time_ms"
            latest = now + self.limits.clock_skew_ms
            _within(known, EARLIEST_MS, latest, f"{where}.{told}", "the request's time")
        with self.faults.noted():
            if (known < happened).any():
                earlier = "lies before the behaviour's time_ms"
                raise RequestError(422, f"{where}.known_at_ms", earlier)
        features = self._features(columns, name, where, count, {"time_ms", "known_at_ms"})
        keep = self.schema.sequences[name].keep
        return Behaviours(np.zeros(count, np.int64), happened, known, features, keep)

    def _profile(self, request: dict[str, Any], prefix: str, user: int | str) -> pa.Table:
        where = f"{prefix}profile"
        given = _object(request.get("profile", {}), where)
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
        values = column_of(_required(columns, name, f"{where}."), f"{where}.{name}")
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
        return _times(values, f"{where}.{name}")


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(422, where or "(body)", "expected an object")
    return value


def _required(columns: dict[str, Any], name: str, prefix: str) -> Any:
    if name not in columns:
        raise RequestError(422, f"{prefix}{name}", "is missing")
    return columns[name]


def _key(value: Any, where: str) -> int | str:
    if type(value) not in (int, str):
        raise RequestError(422, where, f"expected an integer or a string, found {found_in(value)}")
    key: int | str = value
    return key


def _keys(items: Column, where: str) -> pa.Array:
    """Text [candidates]."""
    if isinstance(items, list):
        if set(map(type, items)) - {int, str}:
            for item in items:
                _key(item, where)
        return pa.array(list(map(str, items)))
    kind = items.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if not (text or pa.types.is_integer(kind)) or items.null_count:
        raise RequestError(422, where, f"expected integers or strings, found {found_in(items)}")
    return items.cast(pa.string())


def _agree(sent: Any, items: Column, where: str) -> None:
    """A feature that carries the item's id must be the item's. Of a column that is none,
    `encode_column` tells."""
    if sent is items or type(sent) is not type(items) or len(sent) != len(items):
        return
    if isinstance(sent, list):
        if sent == items or set(map(type, sent)) - {int, str}:
            return
        ours, theirs = list(map(str, sent)), list(map(str, items))
    else:
        ours, theirs = (column.cast(pa.string()).to_pylist() for column in (sent, items))
    for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
        if one != other:
            told = f"is {one!r:.40} at place {place}, and item is {other!r:.40}; they must agree"
            raise RequestError(422, where, told)


def _time(value: Any, where: str) -> int:
    return int(_times([value], where)[0])


def _times(values: Column, where: str) -> np.ndarray:
    """int64 [n]"""
    if isinstance(values, list):
        if wrong := set(map(type, values)) - {int}:
            raise _no_time(next(value for value in values if type(value) in wrong), where)
        ends = [min(values), max(values)] if values else []
    else:
        if values.null_count or not (pa.types.is_integer(values.type) or not len(values)):
            raise _no_time(values, where)
        ends = list(pc.min_max(values).as_py().values()) if len(values) else []
    for end in ends:
        if not EARLIEST_MS <= end <= LATEST_MS:
            raise _no_time(end, where)
    return np.array(values, np.int64)


def _no_time(found: Any, where: str) -> RequestError:
    return RequestError(
        422,
        where,
        "expected integer milliseconds since 1970, in the years 1990 to 2100, found "
        f"{found_in(found)}",
    )


def _within(times: np.ndarray, first: int, last: int, where: str, what: str) -> None:
    if len(times) and (times.min() < first or times.max() > last):
        raise RequestError(422, where, f"lies outside {what} ({first} to {last})")
