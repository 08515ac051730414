"""From a kind to a model: ours by short names, anybody's by module and class."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError
from rayrank.embedding.tables import LocalTables
from rayrank.errors import ConfigError
from rayrank.model.build import SHORT, build_model, parse_model_config, ranker_class
from rayrank.model.dlrm import DLRM, DLRMConfig
from rayrank.model.mtgr import MTGR, MTGRConfig
from rayrank.model.ranker import ModelConfig
from rayrank.strict import parse
from rayrank.train.config import RankerConfig

from .rows import SCHEMA

Write = Callable[[str, str], None]
TABLES = LocalTables(SCHEMA.tables, init_std=0.1, seed=0)
OWN = """
from pydantic import Field
from rayrank.model.dlrm import DLRM, DLRMConfig

class OwnConfig(DLRMConfig):
    depth: int = Field(3, gt=0)

class Own(DLRM):
    Config = OwnConfig

def function(): ...
number = 7

class Shares(DLRM):
    def __init__(self, schema, config, tables, scales):
        super().__init__(schema, config, tables, scales)
        self.mlp.tables = tables

class NoRanker: ...

class NoConfig(DLRM):
    Config = None

class OtherConfig(DLRM):
    Config = NoRanker
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Modules of somebody else's, on the path and nowhere in this repository."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, content: str) -> None:
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return write


def test_short_names() -> None:
    assert ranker_class("mtgr") is MTGR
    assert ranker_class("dlrm") is DLRM
    assert ranker_class("rayrank.model.mtgr:MTGR") is MTGR
    for short in SHORT:
        assert ranker_class(short).Config.model_validate({}).kind == short
    assert parse_model_config({"kind": "mtgr"}) == MTGRConfig.model_validate({})
    assert type(parse_model_config({"kind": "dlrm", "hidden": [4]})) is DLRMConfig


def test_a_class_of_somebody_elses(write: Write) -> None:
    write("theirs.models.own", OWN)
    kind = "theirs.models.own:Own"
    config = parse_model_config({"kind": kind, "depth": 5, "hidden": [8]})
    assert config.model_dump() == {
        "kind": kind,
        "embedding_std": 0.02,
        "hidden": [8],
        "dropout": 0.0,
        "embedding_dropout": 0.0,
        "depth": 5,
    }
    model = build_model(SCHEMA, config, TABLES, {})
    assert type(model) is ranker_class(kind)
    assert type(config) is type(model).Config


def test_a_config_is_written_and_read_with_all_its_keys(write: Write) -> None:
    write("theirs_written", OWN)
    ranker = RankerConfig.model_validate({"model": {"kind": "theirs_written:Own", "depth": 5}})
    written = ranker.model_dump(mode="json")
    assert written["model"]["depth"] == 5
    assert RankerConfig.model_validate(written) == ranker
    assert RankerConfig.model_validate_json(ranker.model_dump_json()) == ranker
    assert RankerConfig(model=ranker.model).model == ranker.model


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("bert", "expected mtgr, dlrm, .* or package.module:Class, got 'bert'"),
        ("theirs_bad", "expected mtgr, dlrm, "),
        ("theirs_bad.Own", "expected mtgr, dlrm, "),
        (":Own", "expected mtgr, dlrm, "),
        ("theirs_bad:", "expected mtgr, dlrm, "),
        (".theirs_bad:Own", "expected mtgr, dlrm, "),
        ("theirs_bad:Own()", "expected mtgr, dlrm, "),
        ("../theirs_bad:Own", "expected mtgr, dlrm, "),
        ("nowhere_at_all:Own", "cannot import nowhere_at_all of 'nowhere_at_all:Own' "),
        ("theirs_bad.sub:Own", "'theirs_bad' is not a package"),
        ("theirs_imports:Own", r"ModuleNotFoundError: No module named 'not_installed'\): every"),
        ("theirs_imports:Own", "installed, on PYTHONPATH, or in the job's --working-dir"),
        ("theirs_syntax:Own", "SyntaxError: .*theirs_syntax.py, line 1"),
        ("theirs_raises:Own", "ValueError: no CUDA here"),
        ("theirs_bad:Missing", "'theirs_bad:Missing': module theirs_bad has no Missing"),
        ("theirs_bad:number", "number must be a subclass of rayrank.model.ranker.Ranker"),
        ("theirs_bad:function", "function must be a subclass"),
        ("theirs_bad:NoRanker", "NoRanker must be a subclass"),
        ("os:system", "system must be a subclass"),
        ("sys:nothing", "module sys has no nothing"),
        ("theirs_bad:NoConfig", "NoConfig.Config must be a subclass of .*ModelConfig"),
        ("theirs_bad:OtherConfig", "OtherConfig.Config must be a subclass of .*ModelConfig"),
        ("rayrank.model.ranker:Ranker", "Ranker.Config must be a subclass of .*ModelConfig"),
    ],
)
def test_a_kind_that_is_none_is_named(kind: str, message: str, write: Write) -> None:
    write("theirs_bad", OWN)
    write("theirs_imports", "import not_installed")
    write("theirs_syntax", "class Own(:")
    write("theirs_raises", "raise ValueError('no CUDA here')")
    with pytest.raises(ConfigError, match=message):
        ranker_class(kind)
    with pytest.raises(ConfigError, match=rf"^run.yaml: model.kind: .*{message}"):
        parse(RankerConfig, {"model": {"kind": kind}}, "run.yaml")


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({}, "model.kind: missing"),
        ({"kind": 7}, "model.kind: "),
        ([], "model: "),
        (None, "model: "),
        ({"kind": "theirs_strict:Own", "colour": 1}, "model.colour: unknown key"),
        ({"kind": "theirs_strict:Own", "depth": 0}, "model.depth: Input should be greater than 0"),
        ({"kind": "theirs_strict:Own", "hidden": [1, "x"]}, "model.hidden.1: "),
        ({"kind": "theirs_strict:Own", "embedding_std": -1}, "model.embedding_std: "),
        ({"kind": "mtgr", "heads": 5}, "model: d_model / heads must be"),
    ],
)
def test_a_wrong_config_is_named_by_its_key(values: object, fault: str, write: Write) -> None:
    write("theirs_strict", OWN)
    with pytest.raises(ConfigError) as error:
        parse(RankerConfig, {"model": values}, "run.yaml")
    assert str(error.value).startswith(f"run.yaml: {fault}")


def test_all_faults_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        parse(RankerConfig, {"model": {"kind": "dlrm", "a": 1, "b": 2}, "colour": 3}, "x")
    keys = ["model.a", "model.b", "colour"]
    assert str(error.value).splitlines() == [f"x: {key}: unknown key" for key in keys]


def test_a_config_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="'mtgr' takes a MTGRConfig, got a DLRMConfig"):
        build_model(SCHEMA, DLRMConfig(kind="mtgr"), TABLES, {})
    with pytest.raises(ConfigError, match="'dlrm' takes a DLRMConfig, got a ModelConfig"):
        build_model(SCHEMA, ModelConfig(kind="dlrm"), TABLES, {})


def test_tables_that_a_part_of_the_ranker_holds_too_are_refused(write: Write) -> None:
    """Their weights would count as dense ones."""
    write("theirs_shared", OWN)
    config = parse_model_config({"kind": "theirs_shared:Shares"})
    with pytest.raises(ConfigError, match=r"'theirs_shared:Shares': .*as \['mlp.tables'\] too"):
        build_model(SCHEMA, config, TABLES, {})


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError):
        parse_model_config({"kind": "dlrm"}).kind = "mtgr"
