"""Scores of rows and of raw logs, many at once, are those of the tables and of the trainer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rayrank.data.build import build
from rayrank.errors import DataError, VersionError
from rayrank.infer.bundle import load_bundle
from rayrank.infer.score import score
from rayrank.run.scoring import MARKER, Scores, Scoring
from rayrank.run.to_score import LogToScore, RowsToScore, ToScore
from rayrank.storage import files_in, read_parquet
from rayrank.versions import MADE_FROM

from ..data.builds import config
from ..data.logs import write
from .scoring import COLUMNS, LAST, LAST_MS, ROWS, SCHEMA, read, unlabelled, write_bundle


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-5)


def expected() -> dict[str, pa.Table]:
    """What `rayrank.score` takes."""
    tables = unlabelled()
    shown = tables["exposures"]
    return {
        "views": shown,
        "clicks": shown.filter(pc.equal(shown["click"], 1)),
        "orders": tables["events"],
        "searches": tables["searches"],
    }


@dataclass(frozen=True)
class World:
    """A log, its user rows and a bundle, and what came of scoring the log."""

    folder: Path
    bundle: str
    scores: Scores

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def rows(self) -> Path:
        return self.folder / "rows"

    @property
    def scored(self) -> pd.DataFrame:
        return read(self.folder / "scored")


@pytest.fixture(scope="module")
def world(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("scored")
    log = write(folder / "log", unlabelled(), files=2)
    build(log, SCHEMA, folder / "rows", config(), lambda done, of: None)
    bundle = write_bundle(folder / "bundles")
    what = LogToScore.at(str(folder / "log"), None)
    scores = Scoring(bundle, what, str(folder / "scored")).run()
    return World(folder, bundle, scores)


def test_a_log_is_scored_as_its_tables_are(world: World) -> None:
    """Every exposure once, whether it is known what came of it or not."""
    tables = unlabelled()
    scored = score(
        load_bundle(world.bundle),
        tables["exposures"],
        sequences=expected(),
        users=tables["users"],
        items=tables["items"],
    ).to_pandas()
    lines = scored.rename(columns={"u": "user", "i": "item", "t": "time"})[list(COLUMNS)]
    same(world.scored, lines.sort_values(["user", "time", "item"], ignore_index=True))
    assert scored["click"].isna().sum() > 30
    assert world.scored["p.click"].nunique() > 100


def test_what_is_left_says_what_was_scored_by_what(world: World) -> None:
    out = world.folder / "scored"
    version = Path(world.bundle).name
    shown = unlabelled()["exposures"]["ctr"].to_numpy()
    beyond = int(((shown < 0.2) | (shown > 0.8)).sum())
    assert beyond > 10
    assert world.scores == Scores(
        version=version,
        ranker="mtgr",
        scored=f"log {world.log}",
        rows=ROWS,
        candidates=160,
        clamped={"candidate.ctr": beyond},
    )
    assert Scores.model_validate_json((out / MARKER).read_text()) == world.scores
    assert {path.name for path in out.iterdir()} == {"scores", MARKER, MADE_FROM}
    parts = sorted((out / "scores").iterdir())
    assert [part.name for part in parts] == [f"part-{n:05d}.parquet" for n in range(len(parts))]


def test_user_rows_are_scored_as_the_log(world: World, tmp_path: Path) -> None:
    """Of all splits; a part's lines stand as its file's rows."""
    out = tmp_path / "out"
    scores = Scoring(world.bundle, RowsToScore.at(str(world.rows)), str(out)).run()
    same(read(out), world.scored)
    assert scores.scored == f"rows {world.rows}"
    parts, files = sorted((out / "scores").iterdir()), files_in(world.rows, "**/*.parquet")
    for part, file in zip(parts, files, strict=True):
        shown = read_parquet(file)["candidates"].combine_chunks()
        for key in ("item", "time"):
            found = pq.read_table(part)[key].combine_chunks()
            assert found.equals(shown.field(key).flatten())


def test_days_are_scored_from_one_on_with_what_was_before(world: World, tmp_path: Path) -> None:
    Scoring(world.bundle, LogToScore.at(str(world.log), LAST), str(tmp_path / "out")).run()
    found = read(tmp_path / "out")
    assert set(found["time"] >= LAST_MS) == {True}
    same(found, world.scored[world.scored["time"] >= LAST_MS].reset_index(drop=True))


def test_scores_that_are_there_are_known_and_others_refused(world: World, tmp_path: Path) -> None:
    out, what = str(world.folder / "scored"), LogToScore.at(str(world.log), None)
    assert Scoring(world.bundle, what, out).done == world.scores
    other = write_bundle(tmp_path / "bundles", weights=1)
    versions = f"bundle: {Path(world.bundle).name} -> {Path(other).name}"
    with pytest.raises(VersionError, match=rf"made from something else:\n  {versions}\n"):
        Scoring(other, what, out)
    with pytest.raises(VersionError, match="since: null -> 2022-04-18"):
        Scoring(world.bundle, LogToScore.at(str(world.log), LAST), out)
    assert Scoring(world.bundle, what, out).done == world.scores


def test_a_folder_of_other_things_is_refused(world: World, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(VersionError, match=r"holds other things \(thesis.tex\)"):
        Scoring(world.bundle, LogToScore.at(str(world.log), None), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def changed(table: pa.Table, column: str, inner: str, kind: pa.DataType | None) -> pa.Table:
    """User rows of which a feature has another type, or is not there."""
    place = table.column_names.index(column)
    struct = table[column].combine_chunks()
    fields = {field.name: struct.field(field.name) for field in struct.type}
    values = fields.pop(inner)
    if kind is not None:
        fields[inner] = values.cast(kind)
    return table.set_column(
        place, column, pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns(["tokens"]), "no column 'tokens', which the bundle's schema"),
        (
            lambda t: changed(t, "static_views", "watched", None),
            "no column 'static_views.watched', which the bundle's schema makes; it has user,",
        ),
        (
            lambda t: changed(t, "candidates", "ctr", pa.list_(pa.float64())),
            r"column 'candidates.ctr': expected list<.*float>, found list<.*double>",
        ),
        (
            lambda t: t.set_column(0, "user", t["user"].cast(pa.string())),
            "column 'user': expected int64, found string",
        ),
    ],
)
def test_rows_of_another_schema_are_refused(
    change: Callable[[pa.Table], pa.Table], message: str, world: World, tmp_path: Path
) -> None:
    first, second = files_in(world.rows, "**/*.parquet")[:2]
    (tmp_path / "rows").mkdir()
    pq.write_table(read_parquet(first), tmp_path / "rows" / "a.parquet")
    pq.write_table(change(read_parquet(second)), tmp_path / "rows" / "b.parquet")
    with pytest.raises(DataError, match=rf"rows/b.parquet: {message}"):
        Scoring(world.bundle, RowsToScore.at(str(tmp_path / "rows")), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_no_rows_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no user rows; expected Parquet files"):
        Scoring(world.bundle, RowsToScore.at(str(tmp_path / "nowhere")), str(tmp_path / "out"))


def renamed(table: pa.Table, column: str) -> pa.Table:
    names = pa.array([f"{column}{value}" for value in table[column].to_pylist()])
    return table.set_column(table.column_names.index(column), column, names)


def test_a_log_of_other_ids_is_refused(world: World, tmp_path: Path) -> None:
    tables = unlabelled()
    log = write(tmp_path / "log", tables | {"items": renamed(tables["items"], "cat")})
    what: ToScore = LogToScore.at(log.root, None)
    message = "items.parquet: column 'cat': its ids are of type string, those that the ranker "
    with pytest.raises(DataError, match=f"{message}learned integer: they would never meet"):
        Scoring(world.bundle, what, str(tmp_path / "out"))
    (tmp_path / "log" / "searches.parquet").unlink()
    with pytest.raises(DataError, match=r"expected searches.parquet or searches/\*.parquet"):
        Scoring(world.bundle, what, str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_days_that_the_log_has_not_leave_nothing(world: World, tmp_path: Path) -> None:
    late = LogToScore.at(str(world.log), date(2022, 4, 19))
    with pytest.raises(DataError, match=r"nothing to score since 2022-04-19: .* end on 2022-04-18"):
        Scoring(world.bundle, late, str(tmp_path / "out")).run()
    assert list((tmp_path / "out").iterdir()) == []


def test_a_run_that_fails_leaves_nothing(world: World, tmp_path: Path) -> None:
    """Found while it scores: the footer is as it should be."""
    (tmp_path / "rows").mkdir()
    for number, file in enumerate(files_in(world.rows, "**/*.parquet")[:3]):
        content = bytearray(Path(str(file)).read_bytes())
        if number == 2:
            content[4:400] = bytes(396)
        (tmp_path / "rows" / f"{number}.parquet").write_bytes(content)
    what = RowsToScore.at(str(tmp_path / "rows"))
    with pytest.raises(DataError, match=r"rows/2.parquet: damaged: ") as fault:
        Scoring(world.bundle, what, str(tmp_path / "out")).run()
    assert "UDF" not in str(fault.value)  # of which nobody knows who only has damaged rows
    assert list((tmp_path / "out").iterdir()) == []
