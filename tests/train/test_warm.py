"""What a ranker takes of another's checkpoint, where the answer is known: scores that stay alike,
and an account of every tensor and table."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rayrank.embedding.tables import LearnedRows, LocalTables, ShardRows
from rayrank.errors import CheckpointError, ConfigError, TrainingError
from rayrank.infer.bundle import restore_ranker
from rayrank.model.build import build_model
from rayrank.model.dlrm import DLRMConfig
from rayrank.model.mtgr import MTGRConfig
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.schema import Schema, ViewConfig
from rayrank.train.config import RankerConfig
from rayrank.train.finished import CHECKPOINTS
from rayrank.train.warm import Start, Taken, keep_schema, start_at, take

from ..infer.bundles import CONFIGS
from ..model.rankers import ranker, tables_with_rows
from ..model.rows import SCHEMA, Element, User, behaviour, candidate, features, jagged
from .checkpoints import finish_training, flip_a_byte, shard_rows

MTGR = MTGRConfig(size=None, layers=2, d_model=32, heads=2, attention_length=4)
DLRM = DLRMConfig(hidden=[16])
SEED = 5


def changed(**features: Element) -> Schema:
    """The schema with more features; one of them in the middle, by its table or kind."""
    content = copy.deepcopy(SCHEMA.model_dump(mode="json", by_alias=True))
    content["features"] = features | content["features"]
    return Schema.model_validate(content)


MORE = changed(
    freshness={"tokens": ["candidate"], "kind": "number"},
    brand={"tokens": ["views", "candidate"], "kind": "id", "table": "small"},
)


def dense_of(model: Ranker) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in model.dense_state().items()}


def state_of(model: Ranker) -> dict[str, torch.Tensor]:
    """AdamW's, of which every number tells whose it is."""
    return {
        f"{name}/{key}": torch.full_like(p.detach().float(), 7.0)
        if key != "step"
        else torch.ones(())
        for name, p in model.dense_parameters().items()
        for key in ("step", "exp_avg", "exp_avg_sq")
    }


def rows_of(model: Ranker) -> dict[str, ShardRows]:
    assert isinstance(model.tables, LocalTables)
    return {
        name: shard_rows(of.keys, of.vectors.float(), torch.full((len(of.keys),), 3.0))
        for name in model.schema.tables
        for of in [model.tables.rows(name)]
    }


def fresh(schema: Schema, config: ModelConfig) -> Ranker:
    """As a seed makes it; not that of `ranker`."""
    torch.manual_seed(11)
    return build_model(schema, config, tables_with_rows(schema, seed=SEED), {})


def taken(old: Ranker, old_config: ModelConfig, schema: Schema, config: ModelConfig) -> Taken:
    start = Start(Path("unused"), ViewConfig().of(old.schema), old_config, SEED)
    return take(start, fresh(schema, config), dense_of(old), state_of(old))


@pytest.mark.parametrize("config", [MTGR, DLRM], ids=lambda c: c.kind)
def test_the_same_model_is_taken_whole(config: ModelConfig) -> None:
    old = ranker(config)
    found = taken(old, config, SCHEMA, config)
    assert found.account.complete
    assert sorted(found.account.whole) == sorted(old.dense_state())
    for name, value in dense_of(old).items():
        assert torch.equal(found.dense[name], value)
    assert found.optimizer.keys() == state_of(old).keys()
    # Rows come in parts, and not every part has some of every table.
    rows, of_first = rows_of(old), torch.arange(2)
    (first, *_), parts = rows, [rows, {name: of.at(of_first) for name, of in rows.items()}]
    parts.append({first: rows[first].at(of_first)})
    for part in parts:
        assert found.of_part(part) == part
    assert found.account.rows == {
        name: len(of.keys) + (4 if name == first else 2) for name, of in rows.items()
    }
    (told,) = found.account.lines()
    assert f"rows of tables: {first} {found.account.rows[first]}, " in told
    assert f"{len(old.dense_state())} dense tensors taken whole, 0 in part, 0 new, 0 left" in told


USERS = [
    User(
        features(MORE, "profile", 1),
        [behaviour(-3, 2, MORE), behaviour(-2, 3, MORE, "buys")],
        [behaviour(2, 4, MORE)],
        [candidate(3, 5, MORE), candidate(4, 6, MORE)],
    )
]


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        (
            MTGR,
            {
                "tokenizer.behaviour_tokens.views.0.weight": "[32, 23] -> [32, 27]",
                "tokenizer.candidate_token.0.weight": "[128, 18] -> [128, 23]",
                **{
                    f"tokenizer.candidate.{of}": "[2] -> [3]"
                    for of in ("mean", "std", "low", "high")
                },
            },
        ),
        (
            DLRM,
            {
                "mlp.0.weight": "[16, 111] -> [16, 124]",
                **{f"candidate.{of}": "[2] -> [3]" for of in ("mean", "std", "low", "high")},
            },
        ),
    ],
    ids=["mtgr", "dlrm"],
)
def test_with_features_more_scores_are_the_same_until_those_are_learned(
    config: ModelConfig, parts: dict[str, str]
) -> None:
    """They stand before the others in the schema; with zeros for their weights nothing changes."""
    old = ranker(config)
    found = taken(old, config, MORE, config)
    told = dict(line.split(": ", 1) for line in found.account.part)
    assert told == parts
    assert (found.account.new, found.account.left) == ([], [])
    assert not {key.rsplit("/", 1)[0] for key in found.optimizer} & set(told)

    new = restored(MORE, config, found, rows_of(old))
    with torch.no_grad():
        for name in told:
            if name.endswith("weight"):
                value = new.get_parameter(name)
                value[:] = torch.where(is_new(found, old, name), 0, value)
        same = restored(SCHEMA, config, taken(old, config, SCHEMA, config), rows_of(old))
        expected = same(jagged(USERS))
        torch.testing.assert_close(new(jagged(USERS, MORE)), expected, rtol=1e-5, atol=1e-5)


def is_new(found: Taken, old: Ranker, name: str) -> torch.Tensor:
    """Which weights are those that a new ranker was initialised with."""
    initial = fresh(MORE, MTGR if name.startswith("tokenizer") else DLRM).dense_state()[name]
    assert (found.dense[name] != initial).sum() == old.dense_state()[name].numel()
    return found.dense[name] == initial


def restored(
    schema: Schema, config: ModelConfig, found: Taken, old: dict[str, ShardRows]
) -> Ranker:
    rows = {name: LearnedRows(of.keys, of.vectors) for name, of in found.of_part(old).items()}
    tables = LocalTables.of_rows(schema.tables, rows, init_std=1.0, seed=SEED)
    return restore_ranker(schema, config, found.dense, tables)


def test_deeper_and_wider() -> None:
    old = ranker(MTGR)
    deeper = taken(old, MTGR, SCHEMA, MTGR.model_copy(update={"layers": 3}))
    assert {name.split(".")[1] for name in deeper.account.new} == {"2"}
    assert all(name.startswith("layers.2.") for name in deeper.account.new)
    assert (deeper.account.part, deeper.account.left) == ([], [])
    shallower = taken(old, MTGR, SCHEMA, MTGR.model_copy(update={"layers": 1}))
    assert all(name.startswith("layers.1.") for name in shallower.account.left)

    wider = taken(old, MTGR, SCHEMA, MTGR.model_copy(update={"d_model": 64}))
    assert "layers.0.output.weight: [32, 32] -> [64, 64]" in wider.account.part
    assert (wider.account.new, wider.account.left) == ([], [])
    # What the features' numbers are scaled by does not know of widths.
    assert "tokenizer.candidate.mean" in wider.account.whole
    assert all("layers" not in key for key in wider.optimizer)
    was = old.dense_state()["layers.0.output.weight"].float()
    now = wider.dense["layers.0.output.weight"]
    assert torch.equal(now[:32, :16], was[:, :16])
    assert torch.equal(now[:32, 32:48], was[:, 16:])


def test_another_kind_of_model_takes_tables_alone() -> None:
    found = taken(ranker(MTGR), MTGR, SCHEMA, DLRM)
    assert set(found.account.rows) == set(SCHEMA.tables)
    assert found.account.whole == []
    assert len(found.account.left) > len(found.account.new) > 0
    assert "left behind: " in "\n".join(found.account.lines())
    assert " more" in "\n".join(found.account.lines())


def test_tables_are_taken_by_name_and_width() -> None:
    content = copy.deepcopy(SCHEMA.model_dump(mode="json", by_alias=True))
    content["tables"]["item"]["dim"] = 4
    content["tables"]["little"] = content["tables"].pop("small")
    for feature in content["features"].values():
        if feature.get("table") == "small":
            feature["table"] = "little"
    old = ranker(DLRM)
    found, rows = taken(old, DLRM, Schema.model_validate(content), DLRM), rows_of(old)
    assert found.of_part(rows) == {"tag": rows["tag"]}
    assert found.account.rows == {"tag": len(rows["tag"].keys)}
    assert found.account.new_tables == ["item", "little"]
    assert found.account.left_tables == ["item", "small"]
    lines = "\n".join(found.account.lines())
    assert "new tables: item, little" in lines
    assert "tables left behind: item, small" in lines


def finished(folder: Path, **train: Any) -> tuple[Path, RankerConfig]:
    """A training that has ended, as the trainer leaves it."""
    config = RankerConfig.model_validate({"model": CONFIGS["dlrm"].model_dump(), "train": train})
    _, checkpoint = finish_training(folder, "dlrm")
    (folder / "made-from.json").write_text(json.dumps(config.model_dump(mode="json")))
    keep_schema(folder, ViewConfig().of(SCHEMA))
    return checkpoint, config


def test_a_start_is_a_finished_training_or_one_of_its_checkpoints(tmp_path: Path) -> None:
    checkpoint, config = finished(tmp_path)
    for path in (tmp_path, checkpoint):
        start = start_at(path)
        assert (start.checkpoint, start.model) == (checkpoint, config.model)
        assert start.schema == ViewConfig().of(SCHEMA)
        start.demand_fit(SCHEMA, config)
    assert start.origin()["checkpoint"] == checkpoint.name
    with pytest.raises(
        CheckpointError, match="nothing to begin from; expected a finished training"
    ):
        start_at(tmp_path / CHECKPOINTS)
    flip_a_byte(checkpoint / "dense.safetensors")
    with pytest.raises(CheckpointError, match=r"dense\.safetensors"):
        start_at(tmp_path)


def test_a_start_that_does_not_say_what_it_is_is_refused(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / "schema.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no schema\.json"):
        start_at(tmp_path)


def test_what_would_mean_something_else_is_refused(tmp_path: Path) -> None:
    _, config = finished(tmp_path)
    start = start_at(tmp_path)
    other = config.model_copy(update={"train": config.train.model_copy(update={"seed": 9})})
    with pytest.raises(ConfigError, match=r"train\.seed: 9, and 0 where .* set train\.seed to 0"):
        start.demand_fit(SCHEMA, other)
    model = config.model.model_copy(update={"embedding_std": 0.125})
    with pytest.raises(ConfigError, match=r"model\.embedding_std: 0\.125"):
        start.demand_fit(SCHEMA, config.model_copy(update={"model": model}))
    content = SCHEMA.model_dump(mode="json", by_alias=True)
    content["tasks"] = {"like": {"label": "like"}, **content["tasks"]}
    with pytest.raises(ConfigError, match="keep their order, new ones last"):
        start.demand_fit(Schema.model_validate(content), config)


def test_an_unfinished_training_is_no_start(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / "finished.json").unlink()
    with pytest.raises((CheckpointError, TrainingError)):
        start_at(tmp_path)
