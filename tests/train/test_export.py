"""From a checkpoint to a bundle: the trained ranker, or nothing at all."""

import json
from pathlib import Path

import pytest
import torch
from rayrank.data.row_stats import STATS, RowStats
from rayrank.errors import CheckpointError, TrainingError
from rayrank.infer.bundle import Manifest, load_bundle
from rayrank.model.ranker import Ranker
from rayrank.storage import sha256
from rayrank.train.checkpoint import MANIFEST
from rayrank.train.config import RankerConfig, TrainConfig
from rayrank.train.export import export
from rayrank.train.finished import FINISHED, JOURNAL
from rayrank.train.progress import Progress

from ..infer.bundles import CONFIGS, SEED, USERS, frozen
from ..model.rows import SCHEMA, jagged
from .checkpoints import finish_training, flip_a_byte
from .test_checkpoint import FILES
from .test_progress import at, facts

METRICS = {"click": {"auc": 0.75, "gauc": 0.5}}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """What export reads of the user rows."""
    rows = tmp_path / "0123456789ab"
    rows.mkdir()
    stats = RowStats(id_types={"item_id": "integer"})
    (rows / STATS).write_text(json.dumps(stats.to_json()))
    return rows


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
    with Progress(folder / JOURNAL, 0, at(0), total=8) as progress:
        progress.step(at(1), 2, facts(1))
        progress.step(at(2), 4, facts(2))
    with pytest.raises(TrainingError, match=r"not finished \(at 4 of 8 batches\); run jobs/train"):
        exported(folder, "dlrm", rows, tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists()
