"""From a checkpoint to a bundle: the trained ranker, or nothing at all."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from rayrank.data.row_stats import STATS, RowStats
from rayrank.errors import CheckpointError, DataError, TrainingError
from rayrank.infer.bundle import Manifest, load_bundle
from rayrank.infer.drift import Distribution
from rayrank.model.ranker import Ranker
from rayrank.storage import sha256
from rayrank.train import export as export_module
from rayrank.train.checkpoint import MANIFEST, read_rows
from rayrank.train.config import RankerConfig, TrainConfig
from rayrank.train.export import export
from rayrank.train.finished import FINISHED

from ..infer.bundles import CONFIGS, SEED, USERS, frozen
from ..model.rows import SCHEMA, User, candidate, features, jagged, table
from .checkpoints import finish_training, flip_a_byte
from .telling import at, take, telling
from .test_checkpoint import FILES

METRICS = {"click": {"auc": 0.75, "gauc": 0.5}}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """What export reads of the user rows."""
    rows = tmp_path / "0123456789ab"
    rows.mkdir()
    stats = RowStats(id_types={"item_id": "integer"})
    (rows / STATS).write_text(json.dumps(stats.to_json()))
    keep(rows, "train", "2020-09-13", USERS)
    return rows


def keep(rows: Path, split: str, day: str, users: list[User], part: str = "0") -> None:
    """Rows as a build keeps them, in row groups of two."""
    folder = rows / split / day
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table(users), folder / f"{part}.parquet", row_group_size=2)


def exported(folder: Path, kind: str, rows: Path, bundles: Path) -> Manifest:
    return export(
        bundles,
        name=kind,
        config=RankerConfig(model=CONFIGS[kind], train=TrainConfig(seed=SEED)),
        trained=folder,
        schema=SCHEMA,
        rows=rows,
        metrics=METRICS,
    )


def assert_scores_of(served: Ranker, ranker: Ranker, kind: str) -> None:
    """The trained ranker's, with its tables in half precision."""
    batch = jagged(USERS)
    torch.testing.assert_close(served(batch), ranker(batch), atol=5e-3, rtol=5e-3)
    ranker.tables = frozen(ranker, kind)
    assert torch.equal(served(batch), ranker(batch))


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_bundle_scores_what_the_last_checkpoint_would(
    tmp_path: Path, rows: Path, kind: str
) -> None:
    finish_training(tmp_path / "ba9876543210", kind, step=9, weights=1)
    ranker, checkpoint = finish_training(tmp_path / "ba9876543210", kind, step=12)
    manifest = exported(tmp_path / "ba9876543210", kind, rows, tmp_path / "bundles")
    assert (manifest.ranker, manifest.trained_steps) == (kind, 12)
    assert manifest.metrics == METRICS
    assert manifest.id_types == {"item_id": "integer"}
    assert manifest.made_from == {
        "rows": "0123456789ab",
        "ranker": "ba9876543210",
        "checkpoint": "step-00000012.000001",
        "checkpoint_sha256": sha256(checkpoint / MANIFEST),
    }
    bundle = load_bundle(tmp_path / "bundles" / manifest.version)
    assert bundle.manifest == manifest
    assert_scores_of(bundle.ranker, ranker, kind)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_table_of_which_nothing_was_learned_is_empty(
    tmp_path: Path, rows: Path, kind: str
) -> None:
    """None of its ids occurred, or none often enough for a row: a checkpoint has no part of it."""
    ranker, checkpoint = finish_training(tmp_path / "run", kind, empty="tag")
    assert read_rows(checkpoint).keys() == SCHEMA.tables.keys() - {"tag"}
    manifest = exported(tmp_path / "run", kind, rows, tmp_path / "bundles")
    assert_scores_of(load_bundle(tmp_path / "bundles" / manifest.version).ranker, ranker, kind)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_refused_and_nothing_is_written(
    tmp_path: Path, rows: Path, name: str
) -> None:
    bundles = tmp_path / "out" / "bundles"
    _, checkpoint = finish_training(tmp_path / "run", "mtgr")
    flip_a_byte(checkpoint / name)
    with pytest.raises(
        CheckpointError, match=rf"step-00000012.000001/{name}: its content is not what"
    ):
        exported(tmp_path / "run", "mtgr", rows, bundles)
    assert not bundles.parent.exists()


def test_a_bundle_that_is_there_outlives_a_refusal(tmp_path: Path, rows: Path) -> None:
    ranker, checkpoint = finish_training(tmp_path / "run", "mtgr")
    manifest = exported(tmp_path / "run", "mtgr", rows, tmp_path / "bundles")
    assert exported(tmp_path / "run", "mtgr", rows, tmp_path / "bundles") == manifest
    flip_a_byte(checkpoint / "dense.safetensors")
    with pytest.raises(CheckpointError, match=r"dense\.safetensors"):
        exported(tmp_path / "run", "mtgr", rows, tmp_path / "bundles")
    (there,) = (tmp_path / "bundles").iterdir()
    assert there.name == manifest.version
    assert_scores_of(load_bundle(there).ranker, ranker, "mtgr")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "bundles", rows.name}


def test_a_run_that_is_not_finished_tells_how_far_it_is(tmp_path: Path, rows: Path) -> None:
    """Whatever checkpoints there are."""
    folder = tmp_path / "dlrm"
    with pytest.raises(TrainingError, match=r"dlrm: not finished \(not begun\); run jobs/train"):
        exported(folder, "dlrm", rows, tmp_path / "bundles")
    finish_training(folder, "dlrm")
    (folder / FINISHED).unlink()
    with telling(folder, at(0)) as progress:
        take(progress, at(1))
        take(progress, at(2))
    with pytest.raises(TrainingError, match=r"not finished \(at 4 of 8 batches\); run jobs/train"):
        exported(folder, "dlrm", rows, tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()


def at_distances(*distances: float) -> list[User]:
    """A user with one candidate for each."""
    profile = features(SCHEMA, "profile", 1)
    return [
        User(profile, candidates=[candidate(1, 2) | {"distance": distance}])
        for distance in distances
    ]


def spread(values: list[float]) -> Distribution:
    return Distribution.of(np.array(values, np.float32))


def test_what_drift_is_told_from_is_the_latest_split_that_has_rows(
    tmp_path: Path, rows: Path
) -> None:
    ranker, _ = finish_training(tmp_path / "run", "dlrm")
    for split, distances in (("train", [1.0, 2.0]), ("valid", [3.0, 4.0]), ("test", [5.0])):
        users = USERS if split == "train" else at_distances(*distances)
        if split != "train":
            keep(rows, split, "2020-09-14", users)
        of = exported(tmp_path / "run", "dlrm", rows, tmp_path / "bundles").reference
        assert (of.split, of.rows, of.scored_rows) == (split, len(users), len(users))
        shown = [one["distance"] for user in users for one in user.candidates]
        assert of.numbers["candidate.distance"] == spread(shown)
        p_CK = ranker.predictions(ranker(jagged(users))).detach().numpy()
        for k, task in enumerate(SCHEMA.tasks):
            expected = Distribution.of(p_CK[:, k])
            np.testing.assert_allclose(of.scores[task].edges, expected.edges, atol=1e-6)


def test_of_many_rows_the_last_are_taken_and_of_them_some_scored(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "SAMPLED_ROWS", 4)
    monkeypatch.setattr(export_module, "BATCH_TOKENS", 10)
    finish_training(tmp_path / "run", "dlrm")
    keep(rows, "test", "2020-09-14", at_distances(1, 2, 3))
    keep(rows, "test", "2020-09-15", at_distances(4), part="0")
    keep(rows, "test", "2020-09-15", at_distances(5, 6), part="1")
    one = int(table(at_distances(1))["tokens"][0].as_py())
    for tokens, scored in ((10 * one, 4), (3 * one, 3), (3 * one - 1, 2), (0, 1)):
        monkeypatch.setattr(export_module, "SCORED_TOKENS", tokens)
        of = exported(tmp_path / "run", "dlrm", rows, tmp_path / "bundles").reference
        assert (of.rows, of.scored_rows) == (4, scored)
        assert of.numbers["candidate.distance"] == spread([3, 4, 5, 6])


def test_without_rows_there_is_nothing_to_tell_drift_from(tmp_path: Path, rows: Path) -> None:
    finish_training(tmp_path / "run", "dlrm")
    (rows / "train" / "2020-09-13" / "0.parquet").unlink()
    with pytest.raises(DataError, match=r"no user rows; run jobs/build_rows\.py"):
        exported(tmp_path / "run", "dlrm", rows, tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()
