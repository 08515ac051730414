"""A ranker that reads less than the rows hold, and is told another loss: trained on Ray Train,
validated and scored by what it reads, on rows that stay as they are."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from rayrank.data.row_stats import STATS, RowStats
from rayrank.errors import ConfigError
from rayrank.evaluate.config import EvaluateConfig
from rayrank.evaluate.predict import predict
from rayrank.infer.bundle import load_bundle
from rayrank.schema import LossConfig, ViewConfig
from rayrank.storage import write_whole
from rayrank.train import checkpoint as ckpt
from rayrank.train.asked import asked_by
from rayrank.train.config import RankerConfig, TrainConfig
from rayrank.train.export import export, local_ranker
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import read_story
from rayrank.train.run import ranker_made_from, train
from rayrank.train.warm import start_at
from rayrank.versions import MADE_FROM

from ..infer.bundles import CONFIGS, SEED
from ..model.rows import SCHEMA, User, behaviour, candidate, features, jagged, table
from .checkpoints import finish_training
from .worlds import VALID, ranker_config, user

VIEW = {
    "without": ["candidate.ctr", "profile.langs", "static"],
    "embedding_dim": 4,
    "losses": {"click": {"jrc": 0.3}, "order": {"pairwise": 0.5}},
}
CONFIG = RankerConfig.model_validate(
    ranker_config(max_cost=20, max_failures=0, workers=1).model_dump(mode="json") | {"view": VIEW}
)


class Ran(NamedTuple):
    """A finished training, and what was said."""

    rows: Path
    folder: Path
    checkpoint: Path
    said: list[str]


@pytest.fixture(scope="module")
def ran(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    work = tmp_path_factory.mktemp("view")
    for split, users in (("train", [user(n, 1 + n % 4) for n in range(8)]), ("valid", VALID)):
        day = work / "rows" / split / "2022-04-16"
        day.mkdir(parents=True)
        pq.write_table(table(users), day / "part.parquet")
    (work / "rows" / STATS).write_text(json.dumps(RowStats().to_json()))
    made_from = ranker_made_from(work / "rows", CONFIG, SCHEMA)
    write_whole(work / "run" / MADE_FROM, json.dumps(made_from))
    said: list[str] = []
    last = train(SCHEMA, CONFIG, work / "rows", work / "run", name="small", say=said.append)
    return Ran(work / "rows", work / "run", Path(str(last)), said)


def test_what_it_reads_and_learns_by_is_said_and_noted(ran: Ran) -> None:
    told = [
        "it reads without 2 of what rows hold: candidate.ctr, profile.langs",
        "the static parts of all sequences are empty for it",
        "all its tables are 4 wide",
        "click: the loss is 0.7 log-loss + 0.3 jrc",
        "order: the loss is 1 log-loss + 0.5 pairwise",
    ]
    assert [line for line in ran.said if line.startswith("small: ")] == [
        f"small: {line}" for line in told
    ]
    assert [note.text for note in read_story(ran.folder / JOURNAL).notes] == told


def test_validation_and_scores_are_by_what_it_reads(ran: Ran) -> None:
    """Told of as the rows hold it: how long a user's history is does not change with who reads."""
    ranker = local_ranker(CONFIG, SCHEMA, ran.checkpoint)
    assert set(ranker.schema.tables) == set(SCHEMA.tables)
    read = ViewConfig(without=["candidate.ctr", "profile.langs"]).of(SCHEMA)
    hidden = [User(one.profile, [], one.realtime, one.candidates) for one in VALID]
    with torch.no_grad():
        p_CK = ranker.predictions(ranker(jagged(hidden, read))).numpy()
    settings = EvaluateConfig(workers=1)
    watch = lambda done, of: None  # noqa: E731
    scored = predict(CONFIG, SCHEMA, ran.checkpoint, ran.rows / "valid", settings, watch)
    found = scored.sort_by([("p.click", "ascending")])["p.click"].to_numpy()
    np.testing.assert_allclose(found, np.sort(p_CK[:, 0]), rtol=1e-5)
    assert set(scored["history"].to_pylist()) == {len(one.static) for one in VALID}
    (epoch,) = read_story(ran.folder / JOURNAL).epochs
    assert epoch.metrics.keys() == {"click", "order"}


def test_its_schema_is_kept_with_it(ran: Ran) -> None:
    """So that whoever goes on from it, or scores with it, reads as it did."""
    start = start_at(ran.folder)
    assert start.schema == CONFIG.view.of(SCHEMA)
    plain = RankerConfig(model=start.model, train=TrainConfig(seed=start.seed))
    batch = jagged(VALID, start.schema)
    one, other = (
        local_ranker(config, schema, ran.checkpoint)(batch)
        for config, schema in ((CONFIG, SCHEMA), (plain, start.schema))
    )
    assert torch.equal(one, other)
    assert (
        ckpt.read_dense(ran.checkpoint)[0].keys()
        == local_ranker(CONFIG, SCHEMA, ran.checkpoint).dense_state().keys()
    )


def test_a_plan_counts_what_it_reads(ran: Ran) -> None:
    plain = CONFIG.model_copy(update={"view": ViewConfig()})
    whole, seen = (asked_by(SCHEMA, config, ran.rows) for config in (plain, CONFIG))
    assert seen.tokens < whole.tokens
    assert seen.dense.numbers < whole.dense.numbers


def test_one_that_never_saw_a_part_is_not_exported(ran: Ran, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rankers\.small\.view\.without: static: .*not served"):
        exported(ran.folder, CONFIG, ran.rows, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_one_whose_behaviours_would_be_known_earlier_is_not_exported(tmp_path: Path) -> None:
    """Its rows wait for an outcome; without it nothing would be waited for."""
    schema = SCHEMA.model_copy(update={"known_at": "told_ms"})
    view = ViewConfig(without=["views.watched", "views.click"])
    config = RankerConfig(model=CONFIGS["dlrm"], view=view)
    with pytest.raises(ConfigError, match=r"x\.view\.without: .*'views' carries .*before told_ms"):
        export(
            tmp_path,
            name="x",
            config=config,
            schema=schema,
            trained=tmp_path,
            rows=tmp_path,
            metrics={},
        )


def exported(folder: Path, config: RankerConfig, rows: Path, bundles: Path) -> str:
    return export(
        bundles, name="small", config=config, trained=folder, schema=SCHEMA, rows=rows, metrics={}
    ).version


def test_a_bundle_asks_for_what_the_ranker_reads(tmp_path: Path) -> None:
    config = RankerConfig.model_validate(
        {
            "model": CONFIGS["mtgr"],
            "train": {"seed": SEED},
            "view": {"without": ["candidate.ctr", "buys"], "losses": {"click": {"jrc": 0.5}}},
        }
    )
    seen = config.view.of(SCHEMA)
    ranker, _ = finish_training(tmp_path / "run", "mtgr", schema=seen)
    one = User(
        features(SCHEMA, "profile", 1), [behaviour(-3, 2)], [behaviour(1, 3)], [candidate(4, 5)]
    )
    day = tmp_path / "rows" / "train" / "2022-04-16"
    day.mkdir(parents=True)
    pq.write_table(table([one]), day / "part.parquet")
    stats = RowStats(id_types={"item_id": "integer", "paid": "integer"})
    (tmp_path / "rows" / STATS).write_text(json.dumps(stats.to_json()))
    version = exported(tmp_path / "run", config, tmp_path / "rows", tmp_path / "bundles")
    bundle = load_bundle(tmp_path / "bundles" / version)
    assert bundle.schema.model_dump() == seen.model_dump()
    assert bundle.schema.tasks["click"].loss == LossConfig(jrc=0.5)
    assert bundle.manifest.id_types == {"item_id": "integer"}
    batch = jagged([one], seen)
    with torch.no_grad():
        torch.testing.assert_close(bundle.ranker(batch), ranker(batch), atol=5e-3, rtol=5e-3)
