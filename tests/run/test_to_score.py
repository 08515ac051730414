"""Which files below a folder are user rows to score, and what they are made from."""

from pathlib import Path

from rayrank.data.days import Book
from rayrank.data.row_files import row_files_below
from rayrank.data.row_stats import RowStats
from rayrank.run.to_score import RowsToScore
from rayrank.storage import AnyPath, place

from ..model.rows import SCHEMA

DAY = "2026-11-24"
ROWS = [f"train/{DAY}/a.parquet", f"test/{DAY}/a.parquet", "test/2026-11-25/a.parquet"]


def write(rows: AnyPath, *names: str) -> None:
    for name in names:
        (rows / name).parent.mkdir(parents=True, exist_ok=True)
        (rows / name).write_bytes(name.encode())


def below(folder: AnyPath) -> list[str]:
    return [str(file)[len(str(folder)) + 1 :] for file in row_files_below(folder)]


def test_a_day_a_split_and_a_build_are_rows(tmp_path: Path) -> None:
    write(tmp_path, *ROWS, "test/x.parquet", "test/notes.txt")
    assert below(tmp_path) == sorted([*ROWS, "test/x.parquet"])
    assert below(tmp_path / "test") == [f"{DAY}/a.parquet", "2026-11-25/a.parquet", "x.parquet"]
    assert below(tmp_path / "test" / DAY) == ["a.parquet"]
    assert below(tmp_path / "nowhere") == []


def test_rows_lie_in_an_object_store_too(s3_bucket: str) -> None:
    folder = place(f"{s3_bucket}/rows")
    write(folder, *ROWS, "test/x.parquet", "state/2026-11-25/views/a.parquet")
    assert below(folder / "test") == [f"{DAY}/a.parquet", "2026-11-25/a.parquet", "x.parquet"]
    Book(1, 0, 0, 0, {DAY: RowStats()}).write(folder)
    assert below(folder) == sorted(ROWS[:2])


def test_of_rows_kept_by_day_those_in_the_book_are_rows(tmp_path: Path) -> None:
    write(tmp_path, *ROWS, "state/2026-11-25/views/a.parquet")
    Book(1, 0, 0, 0, {DAY: RowStats()}).write(tmp_path)
    assert below(tmp_path) == sorted(ROWS[:2])
    assert below(tmp_path / "test") == [f"{DAY}/a.parquet"]
    assert below(tmp_path / "test" / DAY) == ["a.parquet"]
    assert below(tmp_path / "test" / "2026-11-25") == []


def test_rows_are_known_by_content_wherever_they_lie(tmp_path: Path) -> None:
    for folder in ("one", "other", "third"):
        write(tmp_path / folder, *ROWS)
    (tmp_path / "third" / ROWS[0]).write_bytes(b"else")
    one, other, third = (
        RowsToScore.at(str(tmp_path / folder)).made_from(SCHEMA)
        for folder in ("one", "other", "third")
    )
    assert one == other != third
