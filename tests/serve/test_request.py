"""Every way in which a request can be wrong is refused, with a status and the field's name."""

import copy
import json
from typing import Any

import pytest
from rayrank.data.ids import hash_string

from ..changes import GONE, changed
from ..data.logs import DAY, START
from .requests import GOOD, HUGE, LIMITS, NOW, PARSER, refusal


def test_a_good_request_is_parsed() -> None:
    parsed = PARSER.parse(json.dumps(GOOD).encode())
    assert parsed.users[0].items == [5, 6]
    # city, age, uid, langs; a view before the window, another and an order inside; two candidates.
    assert parsed.rows["tokens"].to_pylist() == [9]
    assert parsed.rows["static_views"][0].as_py()["i"] == [1]
    assert parsed.rows["realtime_views"][0].as_py()["i"] == [2]
    assert parsed.rows["realtime_orders"][0].as_py()["known_at"] == [START + 20]
    assert parsed.rows["static_searches"][0].as_py()["query"] == []


@pytest.mark.parametrize(
    "path",
    [
        "profile.city",
        "profile.age",
        "profile.langs",
        "sequences",
        "sequences.views",
        "sequences.views.known_at_ms",
        "sequences.views.cat",
        "candidates.time_ms",
        "candidates.i",
        "candidates.cat",
        "candidates.price",
    ],
)
def test_what_may_be_left_out(path: str) -> None:
    if path == "profile.langs":
        assert refusal(json.dumps(changed(GOOD, path, GONE)).encode()).field == path
        return
    assert PARSER.parse(json.dumps(changed(GOOD, path, GONE)).encode()).users[0].items == [5, 6]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b'{"user": 1',
        b"{'user': 1}",
        b'{"user": 01}',
        b"\xff\xfe\x00\x01",
        b'{"user": "\xff"}',
        b'{"user": "\xed\xa0\x80"}',
        json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD).encode("utf-32"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"user": "\\ud800"}',
        b'{"\\udfff": 1}',
        b'{"user": ' + b"9" * 5000 + b"}",
        b'{"user": NaN}',
        b'{"user": -Infinity}',
        b'{"user": 1e400}',
        b"\x00",
    ],
    ids=lambda b: repr(b[:20]),
)
def test_what_is_not_json_is_400(body: bytes) -> None:
    error = refusal(body)
    assert (error.status, error.field) == (400, "(body)")


@pytest.mark.parametrize("depth", [900, 940, 960, 970, 980, 985, 990, 995])
def test_nesting_near_the_recursion_limit(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    body = json.dumps(changed(GOOD, "candidates.i", ["DEEP", 1])).replace('"DEEP"', deep)
    assert refusal(body.encode()).field in ("candidates.i", "(body)")


@pytest.mark.parametrize("value", [None, 1, "text", [], True, 1.5])
@pytest.mark.parametrize("where", ["", "profile", "sequences", "sequences.views", "candidates"])
def test_what_is_no_object(value: Any, where: str) -> None:
    content = changed(GOOD, where, value) if where else value
    error = refusal(json.dumps(content).encode())
    assert (error.status, error.field) == (422, where or "(body)")


@pytest.mark.parametrize("section", ["", "profile", "sequences", "sequences.views", "candidates"])
def test_an_unknown_field_at_each_level(section: str) -> None:
    path = f"{section}.wat".lstrip(".")
    error = refusal(json.dumps(changed(GOOD, path, [1, 2])).encode())
    assert (error.status, error.field) == (422, path)
    assert "unknown field" in error.message


@pytest.mark.parametrize(
    "path",
    [
        "user",
        "time_ms",
        "candidates",
        "candidates.item",
        "candidates.ctr",
        "candidates.tags",
        "sequences.views.time_ms",
        "sequences.views.i",
        "sequences.views.watched",
    ],
)
def test_a_missing_field(path: str) -> None:
    error = refusal(json.dumps(changed(GOOD, path, GONE)).encode())
    assert (error.status, error.field) == (422, path)
    assert "missing" in error.message


WRONG: list[tuple[str, Any]] = [
    # Numbers that are none.
    ("candidates.ctr", [1e39, 0]),
    ("candidates.price", [-2, 0]),
    # Other types.
    ("candidates.ctr", ["0.5", 1]),
    ("candidates.ctr", [[1], 1]),
    ("candidates.i", [1.0, 2]),
    ("candidates.i", ["1", "2"]),
    ("candidates.i", [{}, 2]),
    ("candidates.cat", [1, 2]),
    ("sequences.views.cat", ["a", 2]),
    ("candidates.tags", [["a"], []]),
    ("candidates.tags", [1, 2]),
    ("candidates.tags", [[1.5], []]),
    ("candidates.tags", [[[1]], []]),
    ("candidates.tags", [[None], []]),
    ("profile.city", "3"),
    ("profile.langs", 1),
    ("profile.age", "30"),
    ("user", None),
    ("user", 1.5),
    ("user", [1]),
    ("user", {}),
    ("time_ms", str(NOW)),
    ("time_ms", float(NOW)),
    ("time_ms", None),
    ("candidates.item", [1.5, 2]),
    ("candidates.item", [None, 2]),
    ("candidates.item", "ab"),
    ("candidates.item", {"0": 1}),
    ("candidates.i", 5),
    ("candidates.i", "ab"),
    ("candidates.time_ms", [str(NOW), NOW]),
    ("candidates.time_ms", NOW),
    ("sequences.views.time_ms", [START, None]),
    ("sequences.views.known_at_ms", [START, 1.5]),
    # True is not 1.
    ("user", True),
    ("time_ms", True),
    ("candidates.ctr", [True, 0]),
    ("candidates.i", [True, 2]),
    ("candidates.item", [False, 2]),
    ("candidates.tags", [[True], []]),
    ("profile.age", False),
    ("sequences.views.click", [True, False]),
    ("sequences.views.time_ms", [True, START]),
    # Lengths that differ, and nothing to rank.
    ("candidates.i", [1]),
    ("candidates.i", [1, 2, 3]),
    ("candidates.time_ms", [NOW]),
    ("candidates.tags", []),
    ("sequences.views.i", [1]),
    ("sequences.views.known_at_ms", [START]),
    ("candidates.item", []),
    # Times.
    ("time_ms", 0),
    ("time_ms", NOW // 1000),
    ("time_ms", NOW * 1000),
    ("time_ms", -1),
    ("time_ms", HUGE),
    ("candidates.time_ms", [NOW, NOW + 1]),
    ("candidates.time_ms", [START - 1, NOW]),
    ("candidates.time_ms", [NOW - DAY, NOW]),
    ("sequences.views.known_at_ms", [START - 11, START + 60]),
    ("sequences.views.known_at_ms", [START - 10, NOW + 60_001]),
    ("sequences.views.time_ms", [HUGE, START]),
    # Integers beyond 64 bits.
    ("candidates.i", [HUGE, 1]),
    ("candidates.i", [-HUGE, 1]),
    ("candidates.i", [-1, HUGE - 1]),
    ("candidates.tags", [[HUGE], []]),
    ("profile.city", HUGE),
    ("sequences.views.click", [HUGE, 0]),
    # Missing values without a default.
    ("candidates.i", [None, 1]),
    ("candidates.ctr", [None, 1]),
    ("sequences.views.watched", [0.5, None]),
    # Too long lists; what comes from elsewhere.
    ("candidates.tags", [[1, 2, 3, 4], []]),
    ("profile.langs", [1, 2, 3, 4]),
    ("profile.uid", 7),
]


@pytest.mark.parametrize(("path", "value"), WRONG, ids=[f"{p}={v!r:.30}" for p, v in WRONG])
def test_a_wrong_value_is_refused_by_name(path: str, value: Any) -> None:
    error = refusal(json.dumps(changed(GOOD, path, value)).encode())
    assert (error.status, error.field) == (422, path)


def test_a_behaviour_by_a_clock_that_is_ahead_counts_as_now() -> None:
    """And so not as earlier than what is asked for now."""
    request = copy.deepcopy(GOOD)
    views = request["sequences"]["views"]
    views["time_ms"], views["known_at_ms"] = [NOW - 9, NOW + 100], [NOW - 5, NOW + 60_000]
    parsed = PARSER.parse(json.dumps(request).encode())
    assert parsed.ahead == 1
    assert parsed.rows["realtime_views"][0].as_py()["known_at"] == [NOW - 5]
    assert PARSER.parse(json.dumps(GOOD).encode()).ahead == 0


def test_a_future_behaviour_is_named_as_it_was_sent() -> None:
    request = changed(GOOD, "sequences.views.known_at_ms", GONE)
    request["sequences"]["views"]["time_ms"] = [START, NOW + 60_001]
    assert refusal(json.dumps(request).encode()).field == "sequences.views.time_ms"


def test_a_user_whose_id_is_a_feature_must_fit_it() -> None:
    for user in (HUGE, "seven"):
        assert refusal(json.dumps(changed(GOOD, "user", user)).encode()).field in (
            "user",
            "profile.uid",
        )


def test_text_outside_the_basic_plane_is_fine() -> None:
    for escaped in (True, False):
        request = json.dumps(changed(GOOD, "candidates.cat", ["🍜", "鼎"]), ensure_ascii=escaped)
        (shown,) = PARSER.parse(request.encode()).rows["candidates"].to_pylist()
        assert shown["cat"] == [hash_string("🍜"), hash_string("鼎")]


@pytest.mark.parametrize(
    "path", ["candidates.item", "sequences.views.time_ms", "sequences.views.known_at_ms"]
)
def test_too_many_are_413(path: str) -> None:
    most = LIMITS.candidates if path.startswith("cand") else LIMITS.behaviours
    error = refusal(json.dumps(changed(GOOD, path, [START] * (most + 1))).encode())
    assert (error.status, error.field) == (413, path)
    assert str(most) in error.message


def test_behaviours_are_counted_over_all_sequences() -> None:
    request = copy.deepcopy(GOOD)
    views = {n: (v * 3)[: LIMITS.behaviours] for n, v in request["sequences"]["views"].items()}
    request["sequences"]["views"] = views
    error = refusal(json.dumps(request).encode())
    assert (error.status, error.field) == (413, "sequences.orders.time_ms")
    assert "has 1 entries; at most 0 are allowed" in error.message


def test_as_many_as_allowed_are_served() -> None:
    request = copy.deepcopy(GOOD)
    request["candidates"] = {
        n: (v * 2)[: LIMITS.candidates] for n, v in request["candidates"].items()
    }
    most = LIMITS.behaviours - 1  # and an order
    views = {n: (v * 3)[:most] for n, v in request["sequences"]["views"].items()}
    request["sequences"]["views"] = views
    assert len(PARSER.parse(json.dumps(request).encode()).users[0].items) == LIMITS.candidates


def test_numbers_of_any_size_that_a_double_holds_are_taken() -> None:
    for value in ((1 << 53) + 1, 10**30, -(1 << 60)):
        parsed = PARSER.parse(json.dumps(changed(GOOD, "candidates.ctr", [value, 0])).encode())
        assert parsed.rows["candidates"][0]["ctr"][0].as_py() == pytest.approx(value)
