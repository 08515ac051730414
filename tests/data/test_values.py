"""One raw value: ids, encoded features, times, windows."""

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rayrank.data.encode import encode, stored_type
from rayrank.data.ids import hash_string, id_type, to_ids
from rayrank.data.times import to_ms, window_start
from rayrank.errors import DataError
from rayrank.schema import Feature

from .logs import START, shop_schema
from .reference import midnight

ID = Feature(tokens=["candidate"], kind="id", table="t")
IDS = Feature(tokens=["candidate"], kind="ids", table="t")
NUMBER = Feature(tokens=["candidate"], kind="number")
LOG = Feature(tokens=["candidate"], kind="number", transform="log1p")
BUCKET = Feature(tokens=["candidate"], kind="bucket", table="t", boundaries=[0, 1.5, 10])


def encoded(values: pa.Array, feature: Feature) -> list[Any]:
    result = encode(values, feature, "exposures: column 'x'")
    assert result.type == stored_type(feature)
    assert result.null_count == 0
    return list(result.to_pylist())


def refusal(values: pa.Array, feature: Feature) -> str:
    with pytest.raises(DataError) as error:
        encode(values, feature, "exposures: column 'x'")
    message = str(error.value)
    assert message.startswith("exposures: column 'x': ")
    return message


def with_default(feature: Feature, default: Any) -> Feature:
    return Feature.model_validate(feature.model_dump() | {"default": default})


def test_the_hash_of_a_string_never_changes() -> None:
    """Bundles and user rows hold these: another value makes every stored id meaningless."""
    assert hash_string("rayrank") == -1019229867753696817
    assert hash_string("") == -5426141060434712860
    assert hash_string("用户") == 6840071560815213383


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"])), max_size=20))
def test_strings_hash_one_by_one(strings: list[str | None]) -> None:
    expected = [None if s is None else hash_string(s) for s in strings]
    plain = pa.array(strings, pa.string())
    for kind in (pa.string(), pa.large_string()):
        assert to_ids(plain.cast(kind), "x").to_pylist() == expected
    if plain.null_count < len(plain):
        assert to_ids(plain.dictionary_encode(), "x").to_pylist() == expected


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"])
def test_integers_are_their_own_ids(kind: str) -> None:
    info = np.iinfo(kind)
    values = [int(info.min), None, 0, 5, int(info.max)]
    assert to_ids(pa.array(values, pa.type_for_alias(kind)), "x").to_pylist() == values


def test_unsigned_ids_above_2_63_stay_distinct() -> None:
    values = pa.array([0, 2**63 - 1, 2**63, 2**64 - 1, None], pa.uint64())
    assert to_ids(values, "x").to_pylist() == [0, 2**63 - 1, -(2**63), -1, None]


def test_booleans_are_zero_and_one() -> None:
    assert to_ids(pa.array([True, False, None]), "x").to_pylist() == [1, 0, None]


@pytest.mark.parametrize(
    "values",
    [pa.array([1.0]), pa.array([b"x"]), pa.array([dt.datetime(2024, 1, 1)]), pa.array([[1]])],
)
def test_nothing_else_is_an_id(values: pa.Array) -> None:
    with pytest.raises(DataError, match="x: expected integers or strings for an id, found"):
        to_ids(values, "x")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.string(), "string"),
        (pa.large_string(), "string"),
        (pa.int32(), "integer"),
        (pa.list_(pa.string()), "string"),
        (pa.list_(pa.int64()), "integer"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
    ],
)
def test_what_ids_are_outside(kind: pa.DataType, expected: str) -> None:
    assert id_type(kind) == expected


def test_id_nulls() -> None:
    values = pa.array([5, None])
    assert encoded(values, with_default(ID, -1)) == [5, -1]
    assert encoded(pa.array(["a", None]), with_default(ID, "a")) == [hash_string("a")] * 2
    assert encoded(pa.nulls(2), with_default(ID, 3)) == [3, 3]
    assert "row 1 is missing (1 of 2 are)" in refusal(values, ID)
    assert "row 0 is missing" in refusal(pa.nulls(2, pa.string()), ID)


def test_numbers() -> None:
    assert encoded(pa.array([0.5, -2.0]), NUMBER) == [0.5, -2.0]
    assert encoded(pa.array([True, False]), NUMBER) == [1.0, 0.0]
    assert encoded(pa.array([Decimal("1.5")]), NUMBER) == [1.5]
    assert encoded(pa.array([1, None]), with_default(NUMBER, 7)) == [1.0, 7.0]
    assert encoded(pa.nulls(1), with_default(NUMBER, 0.5)) == [0.5]
    assert encoded(pa.chunked_array([[1.0], [2.0]]), NUMBER) == [1.0, 2.0]
    assert "row 1 is missing" in refusal(pa.array([1.0, None]), NUMBER)


@pytest.mark.parametrize("feature", [NUMBER, LOG, BUCKET])
def test_nan_is_a_missing_number(feature: Feature) -> None:
    """As pandas writes them."""
    values = pa.array([2.0, float("nan")])
    assert "row 1 is missing (1 of 2 are)" in refusal(values, feature)
    twice = encoded(pa.array([2.0, 2.0]), feature)
    assert encoded(values, with_default(feature, 2)) == twice


@pytest.mark.parametrize("wrong", [float("inf"), float("-inf")])
@pytest.mark.parametrize("feature", [NUMBER, LOG, BUCKET])
def test_numbers_are_finite(wrong: float, feature: Feature) -> None:
    assert f"row 1 holds {wrong}, expected a finite number" in refusal(
        pa.array([1.0, wrong]), feature
    )


def test_numbers_fit_a_float32() -> None:
    assert "row 1 holds 1e+39, too large" in refusal(pa.array([1.0, 1e39]), NUMBER)
    assert encoded(pa.array([1e39]), LOG) == [pytest.approx(np.log(1e39), rel=1e-6)]


def test_log1p() -> None:
    expected = [0.0, float(np.float32(np.log1p(3.0)))]
    assert encoded(pa.array([0, 3]), LOG) == expected
    assert "row 1 holds -0.5; log1p needs numbers from 0" in refusal(pa.array([0, -0.5]), LOG)


def test_a_bucket_is_the_number_of_edges_at_or_below() -> None:
    values = [-1.0, -1e-9, 0.0, 1.4999, 1.5, 9.9, 10.0, 1e30]
    assert encoded(pa.array(values), BUCKET) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert encoded(pa.array([None, 2.0]), with_default(BUCKET, 10)) == [3, 2]
    assert "row 0 is missing" in refusal(pa.array([None], pa.float64()), BUCKET)


@pytest.mark.parametrize(
    ("values", "feature", "expected"),
    [
        (pa.array([1.5]), ID, "integers or strings"),
        (pa.array(["x"]), NUMBER, "numbers"),
        (pa.array(["3"]), BUCKET, "numbers"),
        (pa.array([[1.0]]), NUMBER, "numbers"),
        (pa.array([1]), IDS, "a list of ids"),
        (pa.array([[1.5]]), IDS, "integers or strings"),
        (pa.array([[[1]]]), IDS, "integers or strings"),
    ],
)
def test_a_type_that_does_not_fit(values: pa.Array, feature: Feature, expected: str) -> None:
    assert f"expected {expected}" in refusal(values, feature)


MOMENT = dt.datetime(2022, 4, 10, 8, 59, 9, 287_000, dt.UTC)
MS = 1_649_581_149_287


@pytest.mark.parametrize(
    ("values", "unit", "expected"),
    [
        (pa.array([MS]), "ms", MS),
        (pa.array([MS // 1000], pa.uint32()), "s", MS - 287),
        (pa.array([MS * 1000 + 999]), "us", MS),
        (pa.array([MOMENT], pa.timestamp("us", "UTC")), "s", MS),
        (pa.array([MOMENT], pa.timestamp("ns", "Asia/Shanghai")), "s", MS),
    ],
)
def test_times(values: pa.Array, unit: str, expected: int) -> None:
    result = to_ms(values, unit, "x")
    assert result.type == pa.int64()
    assert result.to_pylist() == [expected]


def test_timestamps_of_no_zone_are_refused_unless_one_is_said() -> None:
    naive = pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("ms"))
    with pytest.raises(DataError, match=r"x: timestamps without a time zone; .*timestamp_zone:"):
        to_ms(naive, "ms", "x")
    assert to_ms(naive, "ms", "x", "UTC").to_pylist() == [MS]
    assert to_ms(naive, "ms", "x", "Asia/Shanghai").to_pylist() == [MS - 8 * 3_600_000]
    aware = naive.cast(pa.timestamp("ms", "UTC"))
    assert to_ms(aware, "ms", "x", "Asia/Shanghai").to_pylist() == [MS]


def test_no_times() -> None:
    assert to_ms(pa.array([], pa.int64()), "ms", "x").to_pylist() == []


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (pa.array([MS // 1000]), "ms"),
        (pa.array([MS]), "us"),
        (pa.array([MS]), "s"),
        (pa.array([MS * 1000]), "ms"),
        (pa.array([2**64 - 1], pa.uint64()), "ms"),
        (pa.array([dt.datetime(1970, 1, 1, tzinfo=dt.UTC)]), "ms"),
    ],
)
def test_a_wrong_unit_is_caught(values: pa.Array, unit: str) -> None:
    with pytest.raises(DataError, match=r"x: row 0 holds .* is time_unit right\?"):
        to_ms(values, unit, "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([1.5e12]), "expected a time"),
        (pa.array(["2022-04-10"]), "expected a time"),
        (pa.array([dt.date(2022, 4, 10)]), "expected a time"),
        (pa.array([MS, None, None]), "2 missing times, the first in row 1"),
    ],
)
def test_what_is_not_a_time(values: pa.Array, message: str) -> None:
    with pytest.raises(DataError, match=f"x: {message}"):
        to_ms(values, "ms", "x")


ZONES = [
    "UTC",
    "Asia/Shanghai",
    "Asia/Kolkata",
    "Europe/Berlin",
    "America/New_York",
    # Clocks change at midnight: it comes twice, or not at all.
    "America/Havana",
    "America/Sao_Paulo",
    "Asia/Beirut",
]


def windows(times: list[int], zone: str) -> list[int]:
    return list(
        window_start(pa.array(times, pa.int64()), shop_schema({"timezone": zone})).to_pylist()
    )


@pytest.mark.parametrize("zone", ZONES)
def test_a_window_starts_at_local_midnight(zone: str) -> None:
    first = int(dt.datetime(2017, 1, 1, tzinfo=dt.UTC).timestamp() * 1000)
    times = list(range(first + 1, first + 3 * 366 * 86_400_000, 1_800_000))
    found = windows(times, zone)
    assert found == [midnight(time, zone) for time in times]
    assert all(start <= time for start, time in zip(found, times, strict=True))


@given(st.lists(st.integers(START - 10**11, START + 10**11), max_size=20), st.sampled_from(ZONES))
def test_a_window_starts_at_local_midnight_for_any_time(times: list[int], zone: str) -> None:
    assert windows(times, zone) == [midnight(time, zone) for time in times]


def test_midnight_itself_is_in_the_window_it_starts() -> None:
    assert windows([START - 1, START, START + 1], "Asia/Shanghai") == [
        START - 86_400_000,
        START,
        START,
    ]
    assert pc.max(window_start(pa.array([], pa.int64()), shop_schema())).as_py() is None
