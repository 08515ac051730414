"""The builder on Ray: what it writes does not depend on partitions or files, and a failure of
any kind leaves no rows."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rayrank.data.build import SPLITS, build, split_times
from rayrank.data.config import DataConfig
from rayrank.data.ids import hash_string
from rayrank.data.log import Log
from rayrank.data.row_stats import RowStats, read_stats
from rayrank.data.user_rows import row_schema
from rayrank.errors import DataError, LeakageError
from rayrank.schema import Schema

from .logs import DAY, HOUR, START, Record, Records, ordered, shop_schema, shown, write
from .reference import user_rows

pytestmark = pytest.mark.usefixtures("ray_cluster")

TABLES = ("exposures", "events", "users", "items")
PARTS = ("history", "realtime")


def random_log(users: int = 14, exposures: int = 160) -> Records:
    rng = random.Random(7)
    shows, events = [], []
    for time in sorted(rng.sample(range(0, 3 * DAY, 1000), exposures)):
        e = shown(
            rng.randrange(users),
            rng.randrange(9),
            START + time,
            k=START + time + rng.randrange(2 * HOUR),
            click=rng.randrange(2),
            watched=rng.randrange(8) / 8,
            ctr=rng.randrange(8) / 8,
        )
        shows.append(e)
        if rng.random() < 0.5:
            events.append(ordered(e["u"], e["i"], e["t"] + rng.randrange(2 * HOUR)))
    return Records(
        shows,
        events,
        users=[{"u": user, "city": user % 3, "age": 10 + 5 * user} for user in range(users - 2)],
        items=[
            {"i": item, "cat": item % 4, "tags": list(range(item % 3)), "price": item / 4}
            for item in range(8)
        ],
    )


LOG = random_log()


def config(partitions: int = 3, max_history: int = 20) -> DataConfig:
    return DataConfig.model_validate(
        {
            "source": "parquet",
            "path": "unused",
            "partitions": partitions,
            "max_history": max_history,
            "split": {"valid": 0.1, "test": 0.25},
        }
    )


def run(
    log: Log, out: Path, *, schema: Schema | None = None, partitions: int = 3, max_history: int = 20
) -> RowStats:
    steps: list[tuple[int, int]] = []
    stats = build(
        log,
        schema or shop_schema(),
        out,
        config(partitions, max_history),
        lambda done, of: steps.append((done, of)),
    )
    assert steps == [(done, partitions) for done in range(1, len(steps) + 1)]
    assert steps
    return stats


def content(out: Path) -> dict[str, list[Record]]:
    """The rows of each split in an order of their own."""
    return {
        split: sorted(
            pq.read_table(out / split).to_pylist(),
            key=lambda row: (str(row["user"]), row["window_start"]),
        )
        if list((out / split).glob("*.parquet"))
        else []
        for split in SPLITS
    }


@pytest.fixture(scope="module")
def built(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RowStats]:
    folder = tmp_path_factory.mktemp("built")
    log = write(folder / "log", {name: LOG.table(name) for name in TABLES})
    return folder / "rows", run(log, folder / "rows")


def expected_rows() -> list[Record]:
    times = pa.array([e["t"] for e in LOG.exposures]).to_numpy()
    cuts = split_times(times, config().split)
    return user_rows(LOG, shop_schema(), cuts, max_history=20)


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
            for group in ("history", "realtime", "candidates"):
                for name, values in row[group].items():
                    assert values == [element[name] for element in reference_row[group]]


def test_every_file_has_the_schema_of_a_row(built: tuple[Path, RowStats]) -> None:
    out, _ = built
    expected = row_schema(shop_schema(), pa.int64(), pa.int64())
    files = list(out.glob("*/*.parquet"))
    assert files
    for file in files:
        found = pq.read_schema(file)
        assert {f.name: f.type for f in found} == {f.name: f.type for f in expected}


def test_stats(built: tuple[Path, RowStats]) -> None:
    out, stats = built
    rows = expected_rows()
    groups = ("profile", "history", "realtime", "candidates")
    lengths = [sum(len(row[group]) for group in groups) for row in rows]
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
    positives = {task: sum(sum(row["labels"][task]) for row in rows) for task in ("click", "order")}
    assert stats.positives == positives
    assert stats.attributed == positives["order"]
    assert stats.id_types == {
        "city": "integer",
        "i": "integer",
        "cat": "integer",
        "tags": "integer",
        "click": "integer",
    }
    train = [row for row in rows if row["split"] == 0]
    ctr = [c["ctr"] for row in train for c in row["candidates"]]
    # Behaviours of the window too: on the first day of a log there are no others.
    watched = [b["watched"] for row in train for part in PARTS for b in row[part]]
    assert stats.numbers["candidate.ctr"] == (len(ctr), sum(ctr), sum(x * x for x in ctr))
    assert stats.numbers["behaviour.watched"][:2] == (len(watched), sum(watched))
    mean, deviation = stats.scales()["candidate.ctr"]
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
    log = write(tmp_path / "log", {name: LOG.table(name) for name in TABLES}, files=4)
    old = tmp_path / "rows" / "train" / "old.parquet"
    old.parent.mkdir(parents=True)
    old.write_bytes(b"of a build that was cut")
    same_stats(run(log, tmp_path / "rows", partitions=1), stats)
    assert content(tmp_path / "rows") == content(out)


def test_files_whose_types_differ_but_fit(built: tuple[Path, RowStats], tmp_path: Path) -> None:
    """pandas writes integers as floats where a file has missing values."""
    out, stats = built
    log = write(tmp_path / "log", {name: LOG.table(name) for name in TABLES}, files=2)
    for file, position, column, kind in (
        (log.files("users")[1], 2, "age", pa.float64()),
        (log.files("exposures")[0], 0, "u", pa.int16()),
    ):
        table = pq.read_table(file)
        pq.write_table(table.set_column(position, column, table[column].cast(kind)), file)
    same_stats(run(log, tmp_path / "rows", partitions=5), stats)
    assert content(tmp_path / "rows") == content(out)


def test_string_keys_no_users_and_a_list(tmp_path: Path) -> None:
    changes = dict.fromkeys(["features.city", "features.age", "tables.city", "tables.age"])
    schema = shop_schema(changes)
    exposures = LOG.table("exposures")
    for position, key in ((0, "u"), (1, "i")):
        names = pa.array([f"{key}{value}" for value in exposures[key].to_pylist()])
        exposures = exposures.set_column(position, key, names)
    events = LOG.table("events")
    for position, key in ((0, "u"), (1, "i")):
        names = pa.array([f"{key}{value}" for value in events[key].to_pylist()])
        events = events.set_column(position, key, names.dictionary_encode())
    items = LOG.table("items")
    items = items.set_column(0, "i", pa.array([f"i{value}" for value in items["i"].to_pylist()]))
    tags = [[f"tag {tag}" for tag in tags] for tags in items["tags"].to_pylist()]
    items = items.set_column(2, "tags", pa.array(tags, pa.list_(pa.string())))
    log = write(tmp_path / "log", {"exposures": exposures, "events": events, "items": items})
    stats = run(log, tmp_path / "rows", schema=schema)
    assert stats.id_types == {"i": "string", "cat": "integer", "tags": "string", "click": "integer"}

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
            assert row["history"]["order"] == [b["order"] for b in reference_row["history"]]


FAULTS: list[tuple[Record, type[Exception], str]] = [
    # Found by the check of all values, before anything is built.
    ({"click": 2}, DataError, r"exposures.parquet: column 'click': row 3 holds 2"),
    # Found only where rows are built, within a partition.
    ({"s": START + 9 * DAY}, LeakageError, r"exposures: column 's' says .* the first of user 5"),
]


@pytest.mark.parametrize(("change", "error", "message"), FAULTS)
def test_a_failing_build_says_why_and_leaves_no_rows(
    tmp_path: Path, change: Record, error: type[Exception], message: str
) -> None:
    records = [shown(5 if row == 3 else row, 1, START + row * HOUR) for row in range(8)]
    records[3] |= change
    faulty = Records(records, LOG.events, LOG.users, LOG.items)
    log = write(tmp_path / "log", {name: faulty.table(name) for name in TABLES})
    out = tmp_path / "rows"
    (out / "train").mkdir(parents=True)
    (out / "train" / "old.parquet").write_bytes(b"of a build that was cut")
    with pytest.raises(DataError, match=message) as raised:
        run(log, out)
    assert type(raised.value) is error
    assert [path for path in out.rglob("*") if path.is_file()] == []


def test_no_rows_yet(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no user rows; run jobs/build_rows\.py first"):
        read_stats(tmp_path)


@pytest.mark.parametrize(
    ("valid", "test", "expected"),
    [
        (0.0, 0.25, [75, 0, 25]),
        (0.2, 0.25, [60, 15, 25]),
        (0.0, 0.0, [100, 0, 0]),
        (0.5, 0.0, [50, 50, 0]),
    ],
)
def test_splits_are_shares_in_time_order(valid: float, test: float, expected: list[int]) -> None:
    shuffled = random.Random(1).sample(range(START, START + 100), 100)
    share = config().split.model_copy(update={"valid": valid, "test": test})
    first, second = split_times(pa.array(shuffled).to_numpy(), share)
    split = [(time >= first) + (time >= second) for time in shuffled]
    assert [split.count(number) for number in range(3)] == expected
