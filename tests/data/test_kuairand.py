"""KuaiRand's files become a rayrank data set with strictly causal running rates."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rayrank.data.kuairand import convert
from rayrank.data.log import Log, tables_needed
from rayrank.data.partition import build_rows
from rayrank.errors import DataError
from rayrank.schema import load_schema

from .checked import check
from .reference import split_times

REAL = Path(__file__).parents[3] / "shared" / "data" / "kuairand"

T = 1_650_000_000_000
HEADER = "user_id,video_id,time_ms,hourmin,play_time_ms,duration_ms,is_click,long_view,is_like"
ROWS = [
    # User 1 and video 7 twice, then again while the second is still being watched.
    f"1,7,{T},1359,1000,2000,1,1,1",
    f"1,7,{T + 2000},1400,5000,2000,0,0,0",
    f"2,7,{T + 3000},1400,0,,1,0,",
    f"1,8,{T + 4000},5,10,20000,1,0,0",
    f"1,7,{T + 7000},1400,100,2000,0,0,0",
    f"1,7,{T + 7001},1400,100,2000,0,0,0",
]


def source(folder: Path, separator: str = ",", lines: list[str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    suffix = "csv" if separator == "," else "tsv"
    lines = [HEADER, *ROWS] if lines is None else lines
    path = folder / f"log_standard.{suffix}"
    path.write_text("".join(line.replace(",", separator) + "\n" for line in lines))
    return path


def rate(positives: int, count: int) -> float:
    return (positives + 2.5) / (count + 5)


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("as_folder", [True, False])
def test_running_rates_by_hand(tmp_path: Path, separator: str, as_folder: bool) -> None:
    file = source(tmp_path / "in", separator)
    convert(file.parent if as_folder else file, tmp_path / "log")
    rows = pq.read_table(tmp_path / "log" / "exposures.parquet").to_pydict()
    assert rows["time_ms"] == [T, T + 2000, T + 3000, T + 4000, T + 7000, T + 7001]
    assert rows["known_ms"] == [T + 1000, T + 7000, T + 3000, T + 4010, T + 7100, T + 7101]
    assert rows["hour"] == [13, 14, 14, 0, 14, 14]
    assert rows["is_like"] == [1, 0, 0, 0, 0, 0]
    assert rows["watched_share"] == [0.5, 2.5, 0, 0.0005, 0.05, 0.05]
    # The second exposure ends at T + 7000: not known at that moment, known one ms later.
    assert rows["user_count"] == [0, 1, 0, 1, 2, 3]
    assert rows["user_is_click_rate"] == [
        rate(0, 0),
        rate(1, 1),
        rate(0, 0),
        rate(1, 1),
        rate(2, 2),
        rate(2, 3),
    ]
    assert rows["user_long_view_rate"] == [
        rate(0, 0),
        rate(1, 1),
        rate(0, 0),
        rate(1, 1),
        rate(1, 2),
        rate(1, 3),
    ]
    assert rows["video_count"] == [0, 1, 1, 0, 2, 3]
    assert rows["video_is_click_rate"] == [
        rate(0, 0),
        rate(1, 1),
        rate(1, 1),
        rate(0, 0),
        rate(2, 2),
        rate(2, 3),
    ]
    check_all(tmp_path / "log")


def check_all(folder: Path) -> None:
    check(Log(str(folder)), load_schema(folder / "schema.yaml"))


def test_several_logs_and_the_feature_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, rows in enumerate((ROWS[3:], ROWS[:3])):
        (folder / f"log_{number}.csv").write_text("\n".join([HEADER, *rows]))
    (folder / "user_features_1k.csv").write_text(
        "user_id,user_active_degree,ignored\n1,high,9\n2,,9\n2,,9\n"
    )
    # A missing value makes pandas read the whole column as floats.
    (folder / "video_features_basic_1k.csv").write_text(
        "video_id,author_id,video_type,music_type\n7,50,AD,4\n8,,NORMAL,\n"
    )
    convert(folder, tmp_path / "log")
    check_all(tmp_path / "log")
    log, schema = Log(str(tmp_path / "log")), load_schema(tmp_path / "log" / "schema.yaml")
    times = log.read("exposures", ["time_ms"])["time_ms"].to_pylist()
    assert times == sorted(times)
    tables = {table: log.read(table, columns) for table, columns in tables_needed(schema).items()}
    rows = build_rows(tables, schema, [T + 10**6] * 2).rows.to_pylist()
    assert [row["profile"]["user_id"] for row in rows] == [1, 2]
    assert rows[1]["profile"]["user_active_degree"] == -1
    assert rows[0]["candidates"]["author_id"] == [50, 50, -1, 50, 50]
    assert rows[0]["candidates"]["music_type"] == [4, 4, -1, 4, 4]


def fault(tmp_path: Path, lines: list[str]) -> str:
    file = source(tmp_path / "in", lines=lines)
    with pytest.raises(DataError) as error:
        convert(file.parent, tmp_path / "log")
    message = str(error.value)
    assert message.startswith(f"{file}: ")
    assert not (tmp_path / "log").exists()
    assert list(tmp_path.glob("*.writing-*")) == []
    return message


def test_a_missing_column(tmp_path: Path) -> None:
    message = fault(tmp_path, [HEADER.replace("long_view", "longview"), ROWS[0]])
    assert "no column 'long_view'" in message


def test_a_bad_number(tmp_path: Path) -> None:
    message = fault(tmp_path, [HEADER, ROWS[0], ROWS[1].replace(",5000,", ",long,")])
    assert "column 'play_time_ms': row 1 holds 'long', expected a number" in message
    message = fault(tmp_path, [HEADER, ROWS[0], ROWS[1].replace(f"{T + 2000}", "")])
    assert "column 'time_ms': row 1 holds" in message


def test_an_empty_file(tmp_path: Path) -> None:
    assert "empty" in fault(tmp_path, [HEADER])
    assert "empty" in fault(tmp_path, [])


def test_no_file(tmp_path: Path) -> None:
    expected = r"expected KuaiRand's log file, or a folder with log\*\.csv or log\*\.tsv"
    with pytest.raises(DataError, match=rf"{expected}$"):
        convert(tmp_path, tmp_path / "log")
    with pytest.raises(DataError, match=rf"{expected}; there is no such file or folder$"):
        convert(tmp_path / "nowhere", tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_a_failed_conversion_leaves_the_old_one(tmp_path: Path) -> None:
    convert(source(tmp_path / "in"), tmp_path / "log")
    with pytest.raises(DataError):
        convert(source(tmp_path / "in", lines=[]), tmp_path / "log")
    check_all(tmp_path / "log")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is absent: KuaiRand itself is not converted")
def test_kuairand_itself(tmp_path: Path) -> None:
    convert(REAL, tmp_path / "log")
    check_all(tmp_path / "log")
    log, schema = Log(str(tmp_path / "log")), load_schema(tmp_path / "log" / "schema.yaml")
    exposures = log.read("exposures", tables_needed(schema)["exposures"])
    assert len(exposures) == 41_828
    cuts = split_times(exposures["time_ms"].to_pylist(), valid=0.1, test=0.2)
    built = build_rows({"exposures": exposures}, schema, cuts)
    shown = np.diff(built.rows["candidates"].combine_chunks().field("time").offsets.to_numpy())
    assert shown.sum() == 41_828
    assert shown[built.split == 2].sum() == 8_366
    users = built.rows["user"].to_numpy()
    assert len(np.unique(users[built.split == 2])) == 591
    assert len(np.unique(users)) == 664
