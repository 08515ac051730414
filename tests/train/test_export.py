"""From a checkpoint to a bundle: the trained ranker, or nothing at all."""

from pathlib import Path

import pytest
import torch
from rayrank.config import DataConfig, RankerConfig, RunConfig
from rayrank.config.train import TrainConfig
from rayrank.data.row_stats import RowStats
from rayrank.errors import RayrankError
from rayrank.infer.bundle import Manifest, load_bundle
from rayrank.train.export import export

from ..infer.bundles import CONFIGS, SEED, USERS
from ..model.rows import SCHEMA, jagged
from .checkpoints import checkpoint_of, flip_a_byte
from .test_checkpoint import FILES

METRICS = {"click": {"auc": 0.75, "gauc": 0.5}}


def config(run_dir: Path) -> RunConfig:
    return RunConfig(
        run_dir=run_dir,
        data=DataConfig(source="parquet", path="a log that nobody reads", max_history=77),
        rankers={
            kind: RankerConfig(model=model, train=TrainConfig(seed=SEED))
            for kind, model in CONFIGS.items()
        },
    )


def exported(run_dir: Path, kind: str, out: Path) -> Manifest:
    stats = RowStats(id_types={"item_id": "integer"})
    return export(config(run_dir), kind, SCHEMA, stats, METRICS, out)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_bundle_scores_what_the_newest_checkpoint_would(tmp_path: Path, kind: str) -> None:
    checkpoint_of(tmp_path, kind, step=9, weights=1)
    ranker, _ = checkpoint_of(tmp_path, kind, step=12)
    manifest = exported(tmp_path, kind, tmp_path / "bundle")
    assert (manifest.ranker, manifest.trained_steps, manifest.seed) == (kind, 12, SEED)
    assert (manifest.metrics, manifest.max_history) == (METRICS, 77)
    assert manifest.id_types == {"item_id": "integer"}
    batch = jagged(USERS)
    assert torch.equal(load_bundle(tmp_path / "bundle").ranker(batch), ranker(batch))


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    run_dir, out = tmp_path / "run", tmp_path / "out" / "bundle"
    _, checkpoint = checkpoint_of(run_dir, "mtgr", step=12)
    flip_a_byte(checkpoint / name)
    with pytest.raises(RayrankError, match=rf"step-00000012/{name}: its content is not what"):
        exported(run_dir, "mtgr", out)
    assert not out.parent.exists()


def test_a_bundle_that_is_there_outlives_a_refusal(tmp_path: Path) -> None:
    ranker, checkpoint = checkpoint_of(tmp_path / "run", "mtgr", step=12)
    exported(tmp_path / "run", "mtgr", tmp_path / "bundle")
    flip_a_byte(checkpoint / "dense.safetensors")
    with pytest.raises(RayrankError, match=r"dense\.safetensors"):
        exported(tmp_path / "run", "mtgr", tmp_path / "bundle")
    batch = jagged(USERS)
    assert torch.equal(load_bundle(tmp_path / "bundle").ranker(batch), ranker(batch))
    assert {path.name for path in tmp_path.iterdir()} == {"run", "bundle"}


def test_without_a_checkpoint_one_is_told_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(RayrankError, match=r"rankers/dlrm: no complete checkpoint; run jobs/train"):
        exported(tmp_path, "dlrm", tmp_path / "bundle")
