"""A run on Ray Train that begins from another's checkpoint, at a rate of nothing: what it ends with
is what it began with."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from rayrank.data.row_stats import STATS, RowStats
from rayrank.errors import ConfigError
from rayrank.storage import write_whole
from rayrank.train import checkpoint as ckpt
from rayrank.train.config import RankerConfig
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import read_story
from rayrank.train.run import config_made_from, ranker_made_from, start_of, train
from rayrank.train.warm import start_at
from rayrank.versions import MADE_FROM

from ..model.rows import SCHEMA, table
from .worlds import ranker_config, user

NOTHING = 1e-30


def with_train(config: RankerConfig, **told: object) -> RankerConfig:
    content = config.model_dump(mode="json")
    return RankerConfig.model_validate(content | {"train": content["train"] | told})


@pytest.fixture(
    scope="module",
    params=[("replicated", "sharded", 2), ("sharded", "replicated", 1)],
    ids=lambda ways: f"{ways[0]}-then-{ways[1]}",
)
def runs(
    request: pytest.FixtureRequest, ray_cluster: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """The last checkpoints of a run by two workers, and of one that began from it, by as many or by
    one, which hold the dense part the other way."""
    dense, dense_after, workers = request.param
    work = tmp_path_factory.mktemp("warm")
    day = work / "rows" / "train" / "2022-04-16"
    day.mkdir(parents=True)
    pq.write_table(table([user(40 + n, n) for n in range(1, 4)]), day / "part.parquet")
    (work / "rows" / STATS).write_text(json.dumps(RowStats().to_json()))
    config = ranker_config(max_cost=1, max_failures=0, dense=dense)

    def run(name: str, told: RankerConfig) -> Path:
        folder, start = work / name, start_of(told)
        made_from = ranker_made_from(work / "rows", told, SCHEMA)
        write_whole(folder / MADE_FROM, json.dumps(made_from))
        last = train(SCHEMA, told, work / "rows", folder, name=name, say=print, start=start)
        return Path(str(last))

    first = run("first", config)
    still = {"learning_rate": NOTHING, "table_learning_rate": NOTHING}
    told = {"workers": workers, "dense": dense_after, **still}
    began = with_train(config, start_from=str(work / "first"), **told)
    return first, run("second", began)


def test_everything_is_taken_along(runs: tuple[Path, Path]) -> None:
    (dense, adamw), (dense_after, adamw_after) = (ckpt.read_dense(run) for run in runs)
    assert all(torch.equal(dense[name], dense_after[name]) for name in dense)
    counts = [state["norm.weight_GD/step"].item() for state in (adamw, adamw_after)]
    steps = [ckpt.read_state(run).position.step for run in runs]
    assert counts == [steps[0], sum(steps)]
    before, after = (
        {
            (name, key): (vector, squares)
            for name, rows in ckpt.read_rows(run).items()
            for key, vector, squares in zip(
                rows.keys.tolist(), rows.vectors, rows.momentum.tolist(), strict=True
            )
        }
        for run in runs
    )
    assert before.keys() == after.keys()
    for row, (vector, squares) in before.items():
        assert torch.equal(after[row][0], vector)
        assert after[row][1] >= squares > 0 or squares == 0


def test_the_account_is_told(runs: tuple[Path, Path]) -> None:
    first, second = runs
    notes = [note.text for note in read_story(second.parents[1] / JOURNAL).notes]
    assert notes[0] == f"begins from {first}"
    assert ", 0 in part, 0 new, 0 left behind; rows of tables: item " in notes[1]
    assert len(notes) == 2
    assert read_story(first.parents[1] / JOURNAL).notes == []


def test_what_it_began_from_is_part_of_what_it_is_made_from(runs: tuple[Path, Path]) -> None:
    first = runs[0].parents[1]
    config = ranker_config()
    began = with_train(config, start_from=str(first))
    plain, warm = (config_made_from(each, SCHEMA, start_of(each)) for each in (config, began))
    start = warm.pop("start")
    assert warm == plain  # a path says nothing
    assert start == start_at(first).origin()


def test_another_seed_is_refused_before_anything_starts(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    rows, first = runs[0].parents[2] / "rows", runs[0].parents[1]
    config = with_train(ranker_config(), seed=4, start_from=str(first))
    with pytest.raises(ConfigError, match=r"set train\.seed to 3"):
        train(SCHEMA, config, rows, tmp_path, name="x", say=print, start=start_of(config))
    assert not (tmp_path / "batches").exists()
