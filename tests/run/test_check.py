"""From a finished training to a promoted bundle, on real Ray Serve: what is checked is what is
served, and what fails its check stays where it is."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rayrank.data.row_stats import read_stats
from rayrank.errors import CheckError, VersionError
from rayrank.evaluate.run import SCORES
from rayrank.infer.bundle import Manifest
from rayrank.run.config import RunConfig
from rayrank.run.promotion import read_check
from rayrank.run.report import report
from rayrank.run.run import Run
from rayrank.run.stages import build, check, evaluate, export, promote
from rayrank.schema import Schema
from rayrank.storage import files_in
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import EpochLine, Journal, StepLine
from rayrank.train.run import ranker_made_from
from rayrank.versions import CURRENT, EXPORTED, claim, name_version, named_version

from ..infer.bundles import CONFIGS
from ..jobs.podcasts import write_podcasts
from ..train.checkpoints import finish_training

WITHOUT = ["candidate.minutes", "candidate.topics", "liked"]


@pytest.fixture(scope="module")
def exported(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Manifest]:
    """A run with rows, a ranker of random weights that counts as trained, scores, a bundle."""
    folder = tmp_path_factory.mktemp("exported")
    write_podcasts(folder / "log", listeners=6, days=3)
    run = Run(
        RunConfig.model_validate(
            {
                "run_dir": str(folder / "run"),
                "data": {"source": "parquet", "path": str(folder / "log"), "partitions": 2},
                "rankers": {
                    "dlrm": {"model": CONFIGS["dlrm"].model_dump()},
                    "narrow": {"model": CONFIGS["dlrm"].model_dump(), "view": {"without": WITHOUT}},
                },
                "evaluate": {"bootstrap_samples": 5, "lightgbm_trees": 2, "workers": 1},
            }
        ),
        new=False,
    )
    build(run)
    _, schema = run.open_log()
    for name, config in run.config.rankers.items():
        made_from = ranker_made_from(run.rows(), config, schema)
        trained = claim(run.folder.ranker(name), made_from, new=False)
        finish_training(Path(str(trained)), "dlrm", schema=config.view.of(schema))
    evaluate(run)
    return run, export(run, "dlrm")


def test_a_bundle_carries_what_evaluation_found(exported: tuple[Run, Manifest]) -> None:
    run, manifest = exported
    assert manifest.ranker == "dlrm"
    assert manifest.trained_steps == 12
    assert manifest.metrics.keys() == {"finish", "listened"}
    assert manifest.metrics["listened"].keys() == {"mae", "rank_correlation"}
    assert manifest.id_types == read_stats(run.rows()).id_types
    assert manifest.made_from["rows"] == run.rows().name
    of = manifest.reference
    assert (of.split, of.rows) == ("test", read_stats(run.rows()).rows_of_split[2])
    assert of.scored_rows == of.rows
    assert of.scores.keys() == {"finish", "listened"}
    assert "candidate.minutes" in of.numbers


def test_what_is_served_is_what_was_trained_and_then_becomes_current(
    exported: tuple[Run, Manifest], capsys: pytest.CaptureFixture[str]
) -> None:
    run, manifest = exported
    bundles = run.folder.bundles
    with pytest.raises(CheckError, match="never checked"):
        promote(run)
    with pytest.raises(VersionError, match=r"nothing to report yet; run jobs/check\.py"):
        report(run)
    found = check(run)
    assert found.version == manifest.version
    assert found.max_abs_diff < 1e-5
    assert found.requests > 3
    assert found.candidates == read_stats(run.rows()).exposures_of_split[2]
    assert len(found.latencies_ms) == found.requests
    assert read_check(run, manifest.version) == found
    promote(run)
    assert named_version(bundles, CURRENT) == manifest.version

    capsys.readouterr()
    assert check(run) == found
    assert f"{manifest.version}: checked already" in capsys.readouterr().err

    journal = Journal(run.trained("dlrm").folder / JOURNAL, attempt=1, steps=0, epochs=0)
    of_task = {
        "finish": {"auc": 0.6, "gauc": 0.5432},
        "listened": {"mae": 300.0, "rank_correlation": 0.1234},
    }
    journal.write(StepLine(1, 0, 1, 1, 0.5, 0.1, 1, 0.7, 10, 100, 2, 0.0, 1.0, 1.0))
    journal.write(EpochLine(1, 0, of_task))
    journal.flush()
    run.folder.command.write_text("python jobs/check.py")
    run.folder.config.write_text("run_dir: here")
    report(run)
    page = run.folder.report.read_text()
    for shown in (manifest.version, "0.5432", "0.1234", "listened: rank correlation"):
        assert shown in page


def test_a_bundle_that_asks_for_less_is_replayed_by_what_it_asks(
    exported: tuple[Run, Manifest],
) -> None:
    run, whole = exported
    try:
        manifest = export(run, "narrow")
        found = check(run, manifest.version)
    finally:
        name_version(run.folder.bundles, EXPORTED, whole.version)
    assert "minutes" not in Schema.model_validate(manifest.schema_).features_of("candidate")
    assert manifest.ranges.keys() == {"heard.minutes", "heard.finished"}
    assert found.candidates == read_stats(run.rows()).exposures_of_split[2]
    assert found.max_abs_diff < 1e-5


def test_scores_that_differ_are_no_check_passed(exported: tuple[Run, Manifest]) -> None:
    run, manifest = exported
    (file,) = files_in(run.folder.evaluations / "dlrm", f"*/{SCORES}")
    scores = pq.read_table(str(file))
    place = scores.column_names.index("p.finish")
    other = pa.array(scores["p.finish"].to_numpy() + 0.01)
    whole, passed = Path(str(file)).read_bytes(), Path(str(run.folder.check(manifest.version)))
    before = passed.read_bytes() if passed.exists() else None
    try:
        passed.unlink(missing_ok=True)
        pq.write_table(scores.set_column(place, "p.finish", other), str(file))
        with pytest.raises(CheckError, match="differs from the trainer's"):
            check(run)
        with pytest.raises(CheckError, match="differs from the trainer's"):
            promote(run)
    finally:
        Path(str(file)).write_bytes(whole)
        passed.unlink()
        if before is not None:
            passed.write_bytes(before)


def test_a_log_that_is_another_now_cannot_be_replayed(exported: tuple[Run, Manifest]) -> None:
    run, manifest = exported
    file = Path(str(run.config.data.path)) / "exposures" / "two.parquet"
    whole = file.read_bytes()
    passed = Path(str(run.folder.check(manifest.version)))
    passed.unlink(missing_ok=True)
    table = pq.read_table(file)
    try:
        pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), file)
        with pytest.raises(Exception, match=r"exposures/two\.parquet"):
            check(run)
    finally:
        file.write_bytes(whole)
