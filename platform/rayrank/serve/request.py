"""The request: columnar JSON, checked against the schema, turned into one user row.

    {"user": …, "time_ms": …,
     "profile":    {FEATURE: value, …},
     "sequences":  {SEQUENCE: {"time_ms": […], "known_at_ms": […], FEATURE: […], …}, …},
     "candidates": {"item": […], "time_ms": […], FEATURE: […], …}}

`profile`, `sequences` and each sequence may be left out where there is nothing to say; known_at_ms
defaults to the behaviours' times, the candidates' time_ms to the request's. From the columns on,
the code is the training reader's: `encode`, then `group`.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from rayrank.data.crosses import with_crosses
from rayrank.data.ids import IdTypes
from rayrank.data.times import EARLIEST_MS, LATEST_MS, window_start
from rayrank.data.user_rows import Behaviours, Candidates, group
from rayrank.schema import CANDIDATES, PROFILE, Schema
from rayrank.serve.errors import RequestError
from rayrank.serve.limits import Limits
from rayrank.serve.values import encode_column, found_in

SECTIONS = ("user", "time_ms", "profile", "sequences", "candidates")


@dataclass(frozen=True)
class RankRequest:
    """A request that can be scored."""

    row: pa.Table
    """One user row, as `data.user_rows` describes, without labels."""
    order: np.ndarray
    """int64 [candidates]: the row's candidates ascend in time; where each stood in the request."""
    items: list[int | str]
    """As the client listed them."""
    ahead: int
    """How many behaviours were known a little after the request, by another clock: they count as
    known now."""


class RequestParser:
    """Turns request bodies into user rows of one schema."""

    def __init__(self, schema: Schema, id_types: IdTypes, limits: Limits) -> None:
        self.schema, self.id_types, self.limits = schema, id_types, limits

    def parse(self, body: bytes) -> RankRequest:
        """The request in a body.

        Raises RequestError with status 400 (not JSON), 413 (too large) or 422 (a field that is
        missing, unknown, of another type, length or range).
        """
        request = _object(_json(body), "")
        _only(request, SECTIONS, "")
        user = _key(_required(request, "user", ""), "user")
        now = _time(_required(request, "time_ms", ""), "time_ms")
        start = int(window_start(pa.array([now]), self.schema)[0].as_py())

        candidates = _object(_required(request, "candidates", ""), "candidates")
        items = self._column(candidates, "item", "candidates", self.limits.candidates)
        if not items:
            raise RequestError(422, "candidates.item", "is empty; expected at least one candidate")
        count, most = len(items), self.limits.candidates
        shown = self._times(candidates, "time_ms", "candidates", [now] * count, most, count)
        _within(shown, start, now, "candidates.time_ms", "the request's window and time")
        order = np.argsort(shown, kind="stable")

        sequences = _object(request.get("sequences", {}), "sequences")
        _only(sequences, self.schema.sequences, "sequences")
        parsed: dict[str, Behaviours] = {}
        ahead = 0
        for name in self.schema.sequences:
            sent = sum(len(behaviours.user) for behaviours in parsed.values())
            told = self._behaviours(sequences.get(name, {}), name, now, sent)
            ahead += int((told.known_at_ms > now).sum())
            parsed[name] = replace(
                told,
                time_ms=np.minimum(told.time_ms, now),
                known_at_ms=np.minimum(told.known_at_ms, now),
            )

        candidate_features = self._features(
            candidates, CANDIDATES.token, "candidates", len(items), {"item", "time_ms"}
        )
        candidates_to_score, parsed, profiles = with_crosses(
            self.schema,
            Candidates(
                user=np.zeros(len(items), np.int64),
                window_start_ms=np.full(len(items), start),
                split=np.zeros(len(items), np.int64),
                time_ms=shown[order],
                item=_items(items).take(pa.array(order)),
                features=candidate_features.take(pa.array(order)),
            ),
            parsed,
            self._profile(request, user),
        )
        rows, _ = group(candidates_to_score, parsed, profiles, pa.array([str(user)]))
        return RankRequest(rows, order, items, ahead)

    def _behaviours(self, columns: Any, name: str, now: int, sent: int) -> Behaviours:
        """One sequence of a request whose sequences before it hold `sent` behaviours."""
        where = f"sequences.{name}"
        columns = _object(columns, where)
        most = self.limits.behaviours - sent
        happened = self._times(columns, "time_ms", where, [] if not columns else None, most)
        count = len(happened)
        known = self._times(columns, "known_at_ms", where, happened, most, count)
        told = "known_at_ms" if "known_at_ms" in columns else "time_ms"
        latest = now + self.limits.clock_skew_ms
        _within(known, EARLIEST_MS, latest, f"{where}.{told}", "the request's time")
        if (known < happened).any():
            raise RequestError(422, f"{where}.known_at_ms", "lies before the behaviour's time_ms")
        features = self._features(columns, name, where, count, {"time_ms", "known_at_ms"})
        keep = self.schema.sequences[name].keep
        return Behaviours(np.zeros(count, np.int64), happened, known, features, keep)

    def _profile(self, request: dict[str, Any], user: int | str) -> pa.Table:
        given = _object(request.get("profile", {}), "profile")
        columns = {name: [value] for name, value in given.items()}
        for name in self.schema.given_features_of(PROFILE.token):
            if self.schema.is_user(name):
                if name in columns:
                    raise RequestError(422, f"profile.{name}", "is taken from user; leave it out")
                columns[name] = [user]
        return self._features(columns, PROFILE.token, "profile", 1, set())

    def _features(
        self, columns: dict[str, Any], token: str, section: str, length: int, other: set[str]
    ) -> pa.Table:
        features = self.schema.given_features_of(token)
        _only(columns, {*features, *other}, section)
        encoded: dict[str, pa.Array] = {}
        for name, feature in features.items():
            if name not in columns and feature.default is None and length:
                raise RequestError(422, f"{section}.{name}", "is missing")
            # A column that may be missing is missing in every row.
            values = columns.get(name, [None] * length)
            kind = self.id_types.get(name, "integer")
            where = f"{section}.{name}"
            encoded[name] = encode_column(values, feature, kind, where, length, self.limits)
        return pa.table(encoded) if encoded else pa.table({"": pa.nulls(length)}).select([])

    def _column(self, columns: dict[str, Any], name: str, section: str, most: int) -> list[Any]:
        values = _required(columns, name, section)
        if not isinstance(values, list):
            raise RequestError(422, f"{section}.{name}", "expected a list")
        if len(values) > most:
            raise RequestError(
                413, f"{section}.{name}", f"has {len(values)} entries; at most {most} are allowed"
            )
        return values

    def _times(
        self,
        columns: dict[str, Any],
        name: str,
        section: str,
        default: Any,
        most: int,
        length: int | None = None,
    ) -> np.ndarray:
        if name not in columns and default is not None:
            return np.asarray(default, np.int64)
        values = self._column(columns, name, section, most)
        if length is not None and len(values) != length:
            raise RequestError(
                422, f"{section}.{name}", f"expected {length} values, found {len(values)}"
            )
        return np.array([_time(value, f"{section}.{name}") for value in values], np.int64)


def _json(body: bytes) -> Any:
    try:
        # Decoded here: json.loads would guess an encoding, and let halves of surrogates through.
        content = json.loads(body.decode())
        if b"\\u" in body:
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "(body)", f"is not JSON in UTF-8: {error}"[:200]) from None
    return content


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(422, where or "(body)", "expected an object")
    return value


def _required(columns: dict[str, Any], name: str, section: str) -> Any:
    if name not in columns:
        raise RequestError(422, f"{section}.{name}".lstrip("."), "is missing")
    return columns[name]


def _only(columns: dict[str, Any], known: Any, section: str) -> None:
    for name in columns:
        if name not in known:
            raise RequestError(
                422,
                f"{section}.{name}".lstrip("."),
                f"unknown field; expected {', '.join(sorted(known))}",
            )


def _key(value: Any, where: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise RequestError(422, where, f"expected an integer or a string, found {found_in(value)}")
    return value


def _time(value: Any, where: str) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not EARLIEST_MS <= value <= LATEST_MS
    ):
        raise RequestError(
            422,
            where,
            "expected integer milliseconds since 1970, in the years "
            f"1990 to 2100, found {found_in(value)}",
        )
    return value


def _within(times: np.ndarray, first: int, last: int, where: str, what: str) -> None:
    if len(times) and (times.min() < first or times.max() > last):
        raise RequestError(422, where, f"lies outside {what} ({first} to {last})")


def _items(items: list[Any]) -> pa.Array:
    keys = [_key(item, "candidates.item") for item in items]
    return pa.array([str(key) for key in keys])
