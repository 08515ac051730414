"""User rows in pieces: each row in one of them, in the order of the files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rayrank.errors import DataError
from rayrank.evaluate import pieces
from rayrank.evaluate.candidates import candidate_table
from rayrank.evaluate.pieces import pieces_of
from rayrank.storage import AnyPath

from ..model.rows import SCHEMA
from .rows import user_row


def write(path: Path, first: int, rows: int, row_group: int) -> Path:
    table = pa.table({"row": range(first, first + rows), "other": ["x"] * rows})
    pq.write_table(table, path, row_group_size=row_group)
    return path


def test_every_row_is_in_one_piece_and_no_row_group_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE_ROWS", 6)
    files: list[AnyPath] = [
        write(tmp_path / "a.parquet", 0, 7, 3),
        write(tmp_path / "b.parquet", 7, 0, 3),
        write(tmp_path / "c.parquet", 7, 12, 10),
        write(tmp_path / "d.parquet", 19, 2, 10),
    ]
    found = pieces_of(files)
    assert [piece.number for piece in found] == [0, 1, 2, 3, 4]
    assert [piece.rows for piece in found] == [6, 1, 10, 2, 2]
    read = [piece.read(["row"])["row"].to_pylist() for piece in found]
    assert [len(rows) for rows in read] == [6, 1, 10, 2, 2]
    assert [row for rows in read for row in rows] == list(range(21))
    assert found[0].read().column_names == ["row", "other"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", 0, 500, 500)
    (piece,) = pieces_of([file])
    content = bytearray(file.read_bytes())
    content[4:200] = bytes(196)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a.parquet: damaged: "):
        piece.read()


def test_candidates_without_labels_have_none() -> None:
    rows = user_row("a", 0, 4)
    p_CK = np.arange(8, dtype=np.float32).reshape(4, 2)
    labelled = candidate_table(rows, SCHEMA, p_CK)
    without = candidate_table(rows.drop_columns(["labels", "labels_known_at"]), SCHEMA, p_CK)
    assert without.equals(labelled.drop_columns(["label.click", "label.order"]))
    assert without["p.order"].to_pylist() == [1, 3, 5, 7]
