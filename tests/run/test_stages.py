"""Stages know what their work was made from: what is complete passes, what is else is refused."""

import shutil
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rayrank.data.row_stats import STATS
from rayrank.errors import DataError, TrainingError, VersionError
from rayrank.run.config import RunConfig
from rayrank.run.run import Run
from rayrank.run.stages import build, evaluate, export
from rayrank.train.run import ranker_made_from
from rayrank.versions import claim, versions

from ..jobs.podcasts import write_podcasts


def run_on(folder: Path, *, new: bool = False, **train: object) -> Run:
    """A run on the log in `folder / log`."""
    return Run(
        RunConfig.model_validate(
            {
                "run_dir": str(folder / "run"),
                "data": {"source": "parquet", "path": str(folder / "log"), "partitions": 2},
                "rankers": {
                    name: {"model": {"kind": "dlrm"}, "train": train} for name in ("one", "two")
                },
            }
        ),
        new=new,
    )


@pytest.fixture(scope="module")
def built(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log, and a run that has built its rows."""
    folder = tmp_path_factory.mktemp("built")
    write_podcasts(folder / "log", listeners=6, days=3)
    build(run_on(folder))
    return folder


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(built, tmp_path / "copy")
    return tmp_path / "copy"


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below, and when it was written."""
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def add_an_exposure(folder: Path) -> None:
    file = folder / "log" / "exposures" / "two.parquet"
    table = pq.read_table(file)
    last = table.slice(len(table) - 1).to_pylist()[0]
    another = last | {"heard_at": last["heard_at"] + timedelta(seconds=1)}
    more = pa.Table.from_pylist([another], table.schema)
    pq.write_table(pa.concat_tables([table, more]), file)


def test_the_same_log_again_has_nothing_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_on(folder)
    before = contents(Path(str(run.rows())))
    stats = build(run)
    assert stats.exposures == 6 * 3 * 5
    assert "complete already" in capsys.readouterr().err
    assert contents(Path(str(run.rows()))) == before


def test_new_data_in_an_old_folder_is_refused_and_then_made_beside(folder: Path) -> None:
    run = run_on(folder)
    old = Path(str(run.rows()))
    before = contents(old)
    add_an_exposure(folder)
    with pytest.raises(VersionError, match=r"log\.exposures/two\.parquet: .* -> ") as refused:
        build(run)
    assert "exposures/one.parquet" not in str(refused.value)  # it did not change
    assert "--new" in str(refused.value)
    assert run.rows() == old
    assert versions(run.folder.rows) == [old.name]

    assert build(run_on(folder, new=True)).exposures == 6 * 3 * 5 + 1
    assert run.rows() != old
    assert sorted(versions(run.folder.rows)) == sorted([old.name, run.rows().name])
    assert contents(old) == before


def test_a_build_that_was_cut_is_begun_anew(folder: Path) -> None:
    run = run_on(folder)
    rows = Path(str(run.rows()))
    whole = {name: content for name, (_, content) in contents(rows).items()}
    (rows / STATS).unlink()
    one = next((rows / "train").glob("*/*.parquet"))
    shutil.copy(one, one.with_name("left-over.parquet"))
    build(run)
    assert {name: content for name, (_, content) in contents(rows).items()} == whole


def test_a_build_that_fails_leaves_nothing_in_the_way(folder: Path) -> None:
    run = run_on(folder)
    old = run.rows()
    shutil.rmtree(str(run.folder.rows))
    file = folder / "log" / "exposures" / "two.parquet"
    sound = file.read_bytes()
    table = pq.read_table(file)
    wrong = table.set_column(
        table.column_names.index("finished"), "finished", pa.array([2] * len(table))
    )
    pq.write_table(wrong, file)
    with pytest.raises(DataError, match=r"two\.parquet.*finished"):
        build(run)
    assert versions(run.folder.rows) == []
    file.write_bytes(sound)
    build(run)
    assert run.rows() == old


def test_rows_of_another_log_are_no_rows_of_this_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no user rows; run jobs/build_rows\.py"):
        run_on(tmp_path).rows()


def begin_training(run: Run, *names: str) -> None:
    """As a training that was cut at once leaves it."""
    for name in names:
        made_from = ranker_made_from(run.rows(), run.config.rankers[name], run.open_log()[1])
        claim(run.folder.ranker(name), made_from, new=False)


def test_a_ranker_that_was_not_trained_is_told_before_anything_is_scored(folder: Path) -> None:
    run = run_on(folder)
    with pytest.raises(VersionError, match=r"rankers/one: nothing there yet; run jobs/train\.py"):
        evaluate(run)
    assert not run.folder.evaluations.exists()


def test_a_ranker_trained_otherwise_is_told_by_what_differs(folder: Path) -> None:
    begin_training(run_on(folder, learning_rate=0.5), "one")
    with pytest.raises(VersionError, match=r"train\.learning_rate: 0\.5 -> 0\.25"):
        export(run_on(folder, learning_rate=0.25), "one")
    # How many train it, and how often it is kept, changes no result.
    run_on(folder, learning_rate=0.5, workers=7, checkpoint_every=3).trained("one")


def test_a_training_that_was_cut_is_not_evaluated_or_exported_as_if_finished(folder: Path) -> None:
    run = run_on(folder)
    begin_training(run, "one", "two")
    for stage in (evaluate, lambda run: export(run, "one")):
        with pytest.raises(TrainingError, match=r"not finished \(not begun\); run jobs/train\.py"):
            stage(run)
    assert not list(run.folder.bundles.glob("*/manifest.json"))
