"""The forms of a body: what is told in any of them is the same request."""

import copy
import gzip
import json
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rayrank.serve.body import ARROW, form_of, plain
from rayrank.serve.errors import RequestError
from rayrank.serve.limits import Limits
from rayrank.serve.request import RankRequest, RequestParser

from ..changes import GONE, changed
from ..effort import examples
from .requests import GOOD, LIMITS, NOW, PARSER, SCHEMA
from .test_request import WRONG


def arrow(users: list[dict[str, Any]], ranking: Any = None) -> bytes:
    """A stream of a table with a row for each user: whatever PyArrow makes of Python's values."""
    table = pa.Table.from_pylist(users)
    if ranking is not None:
        table = table.replace_schema_metadata({"ranking": json.dumps(ranking)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return bytes(sink.getvalue())


def same(one: RankRequest, other: RankRequest) -> bool:
    """The same users, to be ranked alike."""
    orders = [[user.order.tolist() for user in asked.users] for asked in (one, other)]
    items = [[list(map(str, user.items)) for user in asked.users] for asked in (one, other)]
    return one.rows.equals(other.rows) and orders[0] == orders[1] and items[0] == items[1]


ROOMY = RequestParser(SCHEMA, PARSER.id_types, Limits())
OTHER = changed(changed(GOOD, "sequences.views", GONE), "user", 8)
LATER = changed(GOOD, "sequences.orders.time_ms", [NOW - 1])


@pytest.mark.parametrize("users", [[GOOD], [GOOD, OTHER], [OTHER, LATER, GOOD]])
def test_arrow_says_what_json_says(users: list[dict[str, Any]]) -> None:
    told = ROOMY.parse(json.dumps({"users": users}).encode())
    assert told.several
    assert len(told.users) == len(told.rows) == len(users)
    assert same(told, ROOMY.parse(arrow(users), ARROW))
    alone = [ROOMY.parse(json.dumps(user).encode()) for user in users]
    assert not any(asked.several for asked in alone)
    assert pa.concat_tables([asked.rows for asked in alone]).equals(told.rows)


def test_a_ranking_is_told_in_each_form() -> None:
    wanted = {"formula": "click * order", "top": 3}
    bodies = (
        PARSER.parse(json.dumps(GOOD | {"ranking": wanted}).encode()),
        PARSER.parse(json.dumps({"users": [GOOD], "ranking": wanted}).encode()),
        PARSER.parse(arrow([GOOD], wanted), ARROW),
    )
    for asked in bodies:
        assert asked.ranking is not None
        assert asked.ranking.top == 3
    with pytest.raises(RequestError, match="ranking"):
        PARSER.parse(arrow([GOOD], {"top": 3}), ARROW)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("ctr", pa.float32()),
        ("ctr", pa.int8()),
        ("i", pa.uint64()),
        ("i", pa.int16()),
        ("cat", pa.large_string()),
        ("tags", pa.large_list(pa.int32())),
        ("time_ms", pa.uint64()),
    ],
)
def test_types_of_other_widths_are_taken(column: str, kind: pa.DataType) -> None:
    whole = changed(GOOD, "candidates.ctr", [1, 0])
    shown = pa.array([whole["candidates"]])
    fields = [
        field.with_type(pa.list_(kind)) if field.name == column else field for field in shown.type
    ]
    table = pa.Table.from_pylist([whole])
    place = table.column_names.index("candidates")
    table = table.set_column(
        place, "candidates", pa.array([whole["candidates"]], pa.struct(fields))
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert same(
        PARSER.parse(bytes(sink.getvalue()), ARROW), PARSER.parse(json.dumps(whole).encode())
    )


def of_arrow(path: str, value: Any) -> RequestError | None:
    try:
        body = arrow([changed(GOOD, path, value)])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return None  # no Arrow column holds such values
    with pytest.raises(RequestError) as caught:
        PARSER.parse(body, ARROW)
    return caught.value


def test_what_is_wrong_in_json_is_wrong_in_arrow() -> None:
    """Unless no column can hold it; a whole column of integers may be numbers."""
    told = {(path, str(value)): of_arrow(path, value) for path, value in WRONG}
    refused = {key: error for key, error in told.items() if error is not None}
    assert len(refused) > len(WRONG) / 2
    assert [error.field for error in refused.values()] == [f"users.0.{p}" for p, _ in refused]


@pytest.mark.parametrize("where", ["colour", "profile.colour", "candidates.colour", "sequences.x"])
def test_unknown_columns_are_refused(where: str) -> None:
    with pytest.raises(RequestError) as caught:
        PARSER.parse(arrow([changed(GOOD, where, [1, 2])]), ARROW)
    assert (caught.value.status, caught.value.field) == (422, f"users.0.{where}")


@settings(max_examples=examples(200), deadline=None)
@given(
    place=st.integers(0, 1 << 16), bit=st.integers(0, 7), cut=st.none() | st.integers(0, 1 << 16)
)
def test_a_damaged_stream_is_refused_or_read(place: int, bit: int, cut: int | None) -> None:
    """And harms nobody: offsets and lengths are a client's to make up."""
    body = bytearray(arrow([GOOD, OTHER]))
    body[place % len(body)] ^= 1 << bit
    with suppress(RequestError):
        ROOMY.parse(bytes(body[:cut]), ARROW)


def test_faults_name_the_user() -> None:
    users = [GOOD, changed(GOOD, "candidates.ctr", [1]), changed(GOOD, "time_ms", 0)]
    for body, form in (
        (json.dumps({"users": users}).encode(), "application/json"),
        (arrow(users), ARROW),
    ):
        with pytest.raises(RequestError) as caught:
            ROOMY.parse(body, form_of(form))
        assert [fault.field for fault in caught.value.faults] == [
            "users.1.candidates.ctr",
            "users.2.time_ms",
        ]


def test_limits_hold_for_all_users_together() -> None:
    """Four candidates, five behaviours, sixty-four users."""
    for users, field in (
        ([GOOD] * 3, "users.2.candidates.item"),
        ([GOOD] * 2, "users.1.sequences.orders.time_ms"),
        ([GOOD] * (LIMITS.users + 1), "users"),
    ):
        with pytest.raises(RequestError) as caught:
            PARSER.parse(json.dumps({"users": users}).encode())
        assert caught.value.status == 413
        assert field in [fault.field for fault in caught.value.faults]


@pytest.mark.parametrize("users", [[], {}, 1, None])
def test_users_are_a_list_of_some(users: Any) -> None:
    with pytest.raises(RequestError) as caught:
        PARSER.parse(json.dumps({"users": users}).encode())
    assert (caught.value.status, caught.value.field) == (422, "users")


BODY = json.dumps(GOOD).encode()
COMPRESSED = {
    "gzip": gzip.compress(BODY),
    "zstd": pa.compress(BODY, "zstd", asbytes=True),
    "identity": BODY,
    "": BODY,
    " GZIP ": gzip.compress(BODY),
}


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_what_was_compressed_is_as_before(encoding: str) -> None:
    assert plain(COMPRESSED[encoding], encoding, len(BODY)) == BODY


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_what_would_be_too_large_is_not_unpacked(encoding: str) -> None:
    with pytest.raises(RequestError) as caught:
        plain(COMPRESSED[encoding], encoding, len(BODY) - 1)
    assert caught.value.status == 413
    for wrong in (COMPRESSED[encoding][:-3], b"junk", BODY):
        with pytest.raises(RequestError) as caught:
            plain(wrong, encoding, 1 << 20)
        assert (caught.value.status, caught.value.field) == (400, "(body)")


def test_another_encoding_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        plain(BODY, "br", 1 << 20)
    assert (caught.value.status, caught.value.field) == (415, "Content-Encoding")


def test_a_form_is_arrow_where_it_says_so() -> None:
    assert form_of(f"{ARROW.upper()}; charset=x") == ARROW
    for other in ("", "application/json", "application/x-www-form-urlencoded"):
        assert form_of(other) == "application/json"


def test_all_faults_are_told_at_once() -> None:
    wrong = copy.deepcopy(GOOD)
    wrong["colour"] = 1
    wrong["time_ms"] = "now"
    wrong["profile"]["age"] = "old"
    wrong["sequences"]["views"]["cat"] = [1, 2]
    wrong["candidates"]["ctr"] = ["a", "b"]
    wrong["ranking"] = {"formula": "clicks"}
    with pytest.raises(RequestError) as caught:
        PARSER.parse(json.dumps(wrong).encode())
    told = caught.value.body()["error"]
    assert [fault["field"] for fault in told["faults"]] == [
        "colour",
        "time_ms",
        "candidates.ctr",
        "sequences.views.cat",
        "profile.age",
        "ranking.formula",
    ]
    assert told["more"] == 0


def test_a_limit_to_what_is_told() -> None:
    wrong = GOOD | {f"x{i}": 1 for i in range(27)}
    with pytest.raises(RequestError) as caught:
        PARSER.parse(json.dumps(wrong).encode())
    told = caught.value.body()["error"]
    assert (len(told["faults"]), told["more"]) == (20, 7)


def test_an_item_must_be_what_its_feature_says() -> None:
    for items, ids in (([5, 6], [5, 6]), (["5", 6], [5, 6]), ([6, 5], None)):
        shown = changed(changed(GOOD, "candidates.item", items), "candidates.i", ids or GONE)
        asked = PARSER.parse(json.dumps(shown).encode())
        assert asked.rows["candidates"][0].as_py()["i"] == list(map(int, map(str, items)))
    for ids in ([5, 7], [6, 5]):
        with pytest.raises(RequestError) as caught:
            PARSER.parse(json.dumps(changed(GOOD, "candidates.i", ids)).encode())
        assert caught.value.field == "candidates.i"
        assert "they must agree" in caught.value.message
        with pytest.raises(RequestError, match="they must agree"):
            PARSER.parse(arrow([changed(GOOD, "candidates.i", ids)]), ARROW)
