"""The builder on Ray: what it writes does not depend on partitions or files, and a failure of
any kind leaves no rows."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rayrank.data.build import build
from rayrank.data.config import SplitConfig
from rayrank.data.ids import hash_string
from rayrank.data.row_files import SPLITS, row_files
from rayrank.data.row_stats import RowStats, read_stats
from rayrank.data.user_rows import row_schema
from rayrank.errors import DataError, LeakageError

from . import reference
from .builds import LOG, SCHEMA, config, content, expected_rows, run
from .logs import (
    ALL_USERS_ALIKE,
    DAY,
    HOUR,
    START,
    TYPES,
    Record,
    Records,
    shop_schema,
    shown,
    write,
)

pytestmark = pytest.mark.usefixtures("ray_cluster")

LISTS = ("static", "realtime", "candidates")


@pytest.fixture(scope="module")
def built(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RowStats]:
    folder = tmp_path_factory.mktemp("built")
    log = write(folder / "log", {name: LOG.table(name) for name in TYPES})
    return folder / "rows", run(log, folder / "rows")


def test_the_rows_are_those_of_the_reference(built: tuple[Path, RowStats]) -> None:
    out, _ = built
    expected = expected_rows()
    found = content(out)
    for number, split in enumerate(SPLITS):
        mine = [row for row in expected if row["split"] == number]
        mine.sort(key=lambda row: (str(row["user"]), row["window_start"]))
        assert len(mine) == len(found[split]) > 0
        for row, reference_row in zip(found[split], mine, strict=True):
            assert row["labels"] == reference_row["labels"]
            assert row["profile"] == reference_row["profile"]
            for group in SCHEMA.groups:
                if group.part in LISTS:
                    for name, values in row[group.name].items():
                        assert values == [element[name] for element in reference_row[group.name]]


def test_every_file_has_the_schema_of_a_row(built: tuple[Path, RowStats]) -> None:
    out, _ = built
    expected = row_schema(SCHEMA, pa.int64(), pa.int64())
    files = [file for split in SPLITS for file in row_files(out / split)]
    assert files
    for file in files:
        found = pq.read_schema(file)
        assert {f.name: f.type for f in found} == {f.name: f.type for f in expected}


def test_stats(built: tuple[Path, RowStats]) -> None:
    out, stats = built
    rows = expected_rows()
    lengths = [sum(len(row[group.name]) for group in SCHEMA.groups) for row in rows]
    shows = [len(row["candidates"]) for row in rows]
    assert stats.rows == len(rows)
    assert stats.exposures == sum(shows) == len(LOG.exposures)
    assert stats.tokens == sum(lengths)
    assert stats.length_counts == Counter(lengths)
    for split in range(3):
        of_split = [n for n, row in zip(shows, rows, strict=True) if row["split"] == split]
        assert stats.rows_of_split[split] == len(of_split)
        assert stats.exposures_of_split[split] == sum(of_split)
    assert stats.exposures_of_split == [108, 12, 40]
    labels = {task: [y for row in rows for y in row["labels"][task]] for task in ("click", "order")}
    assert stats.positives == {task: column.count(1.0) for task, column in labels.items()}
    assert stats.unknown == {task: column.count(None) for task, column in labels.items()}
    assert min(stats.unknown.values()) > 0
    assert stats.attributed >= stats.positives["order"]
    last = max(row["t"] for row in LOG.exposures + LOG.events)
    assert stats.complete_until_ms == last
    assert stats.id_types == {
        "city": "integer",
        "i": "integer",
        "cat": "integer",
        "tags": "integer",
        "click": "integer",
        "query": "integer",
    }
    assert stats.elements == {
        group.name: sum(len(row[group.name]) for row in rows)
        for group in (*SCHEMA.static, *SCHEMA.realtime)
    }
    assert min(stats.elements.values()) > 0
    train = [row for row in rows if row["split"] == 0]
    ctr = [c["ctr"] for row in train for c in row["candidates"]]
    # Behaviours of the window too: on the first day of a log there are no others.
    parts = ("static_views", "realtime_views")
    watched = [b["watched"] for row in train for part in parts for b in row[part]]
    assert stats.numbers["candidate.ctr"][:3] == (len(ctr), sum(ctr), sum(x * x for x in ctr))
    assert stats.numbers["candidate.ctr"][3:] == (min(ctr), max(ctr))
    assert stats.numbers["views.watched"][:2] == (len(watched), sum(watched))
    mean, deviation, *_ = stats.scales()["candidate.ctr"]
    assert mean == pytest.approx(sum(ctr) / len(ctr))
    assert deviation == pytest.approx(pc.stddev(pa.array(ctr)).as_py())
    summary = stats.length_summary()
    assert summary["max"] == max(lengths)
    assert summary["mean"] == pytest.approx(sum(lengths) / len(lengths))
    ordered_lengths = sorted(lengths)
    assert summary["p50"] == ordered_lengths[(len(lengths) - 1) // 2]
    assert read_stats(out) == stats
    assert RowStats.from_json(json.loads(json.dumps(stats.to_json()))) == stats


def same_stats(a: RowStats, b: RowStats) -> None:
    """Equal, but for the rounding of sums that were added up in another order."""
    assert replace(a, numbers={}) == replace(b, numbers={})
    assert a.numbers.keys() == b.numbers.keys()
    for name, sums in a.numbers.items():
        assert sums == pytest.approx(b.numbers[name], rel=1e-12)


def test_partitions_and_files_do_not_matter(built: tuple[Path, RowStats], tmp_path: Path) -> None:
    out, stats = built
    log = write(tmp_path / "log", {name: LOG.table(name) for name in TYPES}, files=4)
    old = tmp_path / "rows" / "train" / "2026-01-01" / "old.parquet"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of a build that was cut")
    same_stats(run(log, tmp_path / "rows", partitions=1), stats)
    assert content(tmp_path / "rows") == content(out)


def test_files_whose_types_differ_but_fit(built: tuple[Path, RowStats], tmp_path: Path) -> None:
    """pandas writes integers as floats where a file has missing values."""
    out, stats = built
    log = write(tmp_path / "log", {name: LOG.table(name) for name in TYPES}, files=2)
    for file, position, column, kind in (
        (log.files("users")[1], 2, "age", pa.float64()),
        (log.files("exposures")[0], 0, "u", pa.int16()),
    ):
        table = pq.read_table(file)
        pq.write_table(table.set_column(position, column, table[column].cast(kind)), file)
    same_stats(run(log, tmp_path / "rows", partitions=5), stats)
    assert content(tmp_path / "rows") == content(out)


def test_string_keys_no_users_and_a_list(tmp_path: Path) -> None:
    schema = shop_schema(ALL_USERS_ALIKE)

    def named(table: str) -> pa.Table:
        """With keys of the sort u7 and i7."""
        rows = LOG.table(table)
        for key in {"u", "i"} & set(rows.column_names):
            names = pa.array([f"{key}{value}" for value in rows[key].to_pylist()])
            rows = rows.set_column(rows.column_names.index(key), key, names)
        return rows

    tables = {table: named(table) for table in ("exposures", "events", "items", "searches")}
    user = tables["events"]["u"].dictionary_encode()
    tables["events"] = tables["events"].set_column(0, "u", user)
    tags = [[f"tag {tag}" for tag in tags] for tags in tables["items"]["tags"].to_pylist()]
    tags_column = pa.array(tags, pa.list_(pa.string()))
    tables["items"] = tables["items"].set_column(2, "tags", tags_column)
    stats = run(write(tmp_path / "log", tables), tmp_path / "rows", schema=schema)
    assert stats.id_types == {
        "i": "string",
        "cat": "integer",
        "tags": "string",
        "click": "integer",
        "query": "integer",
    }

    expected = {
        (f"u{row['user']}", row["window_start"], row["split"]): row for row in expected_rows()
    }
    tags_of = {
        f"i{item['i']}": [hash_string(f"tag {tag}") for tag in item["tags"]] for item in LOG.items
    }
    found = content(tmp_path / "rows")
    assert sum(map(len, found.values())) == len(expected)
    for number, split in enumerate(SPLITS):
        for row in found[split]:
            reference_row = expected[row["user"], row["window_start"], number]
            candidates = row["candidates"]
            assert candidates["item"] == [f"i{c['item']}" for c in reference_row["candidates"]]
            assert candidates["i"] == [hash_string(item) for item in candidates["item"]]
            assert candidates["tags"] == [tags_of.get(item, []) for item in candidates["item"]]
            assert row["labels"] == reference_row["labels"]
            clicked = [hash_string(f"i{b['i']}") for b in reference_row["static_clicks"]]
            assert row["static_clicks"]["i"] == clicked


FAULTS: list[tuple[Record, type[Exception], str]] = [
    ({"click": 2}, DataError, r"exposures.parquet: column 'click': row 3 holds 2"),
    (
        {"s": START + 9 * DAY},
        LeakageError,
        r"exposures.parquet: column 's' says .* the first of user 5",
    ),
]


@pytest.mark.parametrize(("change", "error", "message"), FAULTS)
def test_a_failing_build_says_why_and_leaves_no_rows(
    tmp_path: Path, change: Record, error: type[Exception], message: str
) -> None:
    records = [shown(5 if row == 3 else row, 1, START + row * HOUR) for row in range(8)]
    records[3] |= change
    faulty = Records(records, LOG.events, LOG.users, LOG.items, LOG.searches)
    log = write(tmp_path / "log", {name: faulty.table(name) for name in TYPES})
    out = tmp_path / "rows"
    (out / "train").mkdir(parents=True)
    (out / "train" / "old.parquet").write_bytes(b"of a build that was cut")
    with pytest.raises(DataError, match=message) as raised:
        run(log, out)
    assert type(raised.value) is error
    assert [path for path in out.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("table", ["users", "items"])
def test_a_key_that_two_files_hold(tmp_path: Path, table: str) -> None:
    """Found only where rows are made."""
    log = write(tmp_path / "log", {name: LOG.table(name) for name in TYPES}, files=2)
    first, second = log.files(table)
    pq.write_table(pa.concat_tables([pq.read_table(file) for file in (first, second)]), second)
    with pytest.raises(DataError, match=rf"{table}.*: a key occurs twice; expected one row for"):
        run(log, tmp_path / "rows")
    assert not list((tmp_path / "rows").rglob("*.parquet"))


def test_a_log_of_which_nothing_can_be_trained(tmp_path: Path) -> None:
    """Two moments: the later one is the test's, the earlier valid's."""
    shows = [shown(1, 1, START), shown(1, 1, START + HOUR)]
    records = Records(shows, users=LOG.users, items=LOG.items)
    log = write(tmp_path / "log", {name: records.table(name) for name in TYPES})
    greedy = config().model_copy(update={"split": SplitConfig(valid=0.9, test=0.5)})
    with pytest.raises(DataError, match="no row is left to train on: valid and test take all 2"):
        build(log, SCHEMA, tmp_path / "rows", greedy, lambda done, of: None)
    assert not list((tmp_path / "rows").rglob("*.parquet"))


def test_a_misspelt_event_is_told_before_anything_is_built(tmp_path: Path) -> None:
    tables = {name: LOG.table(name) for name in TYPES}
    schema = shop_schema({"tasks.order.event": "ordr"})
    with pytest.raises(DataError, match=r"no row is of type 'ordr', .* there are order"):
        run(write(tmp_path / "log", tables), tmp_path / "rows", schema=schema)


def test_what_is_cut_and_what_belongs_nowhere_is_told(tmp_path: Path) -> None:
    schema = shop_schema({"features.tags.limit": 1})
    log = write(tmp_path / "log", {name: LOG.table(name) for name in TYPES})
    told: list[str] = []
    build(log, schema, tmp_path / "rows", config(), lambda done, of: None, told.append)
    outcomes = reference.outcomes(
        schema, sorted(LOG.exposures, key=lambda e: (e["u"], e["t"])), LOG.events
    )["order"]
    positives = sum(outcome.happened for outcome in outcomes)
    longer = sum(len(item["tags"]) > 1 for item in LOG.items)
    assert told[1:] == [f"tags: {longer} lists are longer than its limit; their first ids count"]
    belong, there = map(int, re.findall(r"\d+", told[0]))
    assert told[0] == f"order: {belong} of {there} events belong to an exposure"
    assert positives <= belong < there == len(LOG.events)
    rows = content(tmp_path / "rows")["test"]
    assert {len(tags) for row in rows for tags in row["candidates"]["tags"]} == {0, 1}


def test_no_rows_yet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no user rows; run jobs/build_rows\.py first"):
        read_stats(tmp_path)
