"""Run configurations: strict, overridable, and faults named by file or override and key."""

from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from rayrank.errors import ConfigError
from rayrank.model.dlrm import DLRMConfig
from rayrank.model.mtgr import SIZES, MTGRConfig
from rayrank.run.config import RunConfig, load_config
from rayrank.serve.config import RankingArgs

ROOT = Path(__file__).parents[2]
SOUND = """
run_dir: runs/x
data: {source: simulate}
rankers:
  first: {model: {kind: mtgr}}
  second: {model: {kind: dlrm}, train: {epochs: 3}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(SOUND)
    return path


def fault(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(path, list(overrides))
    return str(error.value)


def test_overrides_are_yaml_at_dotted_keys(path: Path) -> None:
    config = load_config(
        path,
        [
            "data.partitions=8",
            "data.simulate.users=99",
            "rankers.second.train.learning_rate=1e-4",
            "rankers.first.model={kind: dlrm, hidden: [64]}",
            "evaluate.workers=1",
            "run_dir=elsewhere=here",
        ],
    )
    assert config.data.partitions == 8
    assert config.data.simulate.users == 99
    second, first = config.rankers["second"], config.rankers["first"]
    assert (second.train.learning_rate, second.train.epochs) == (1e-4, 3)
    assert first.model == DLRMConfig(hidden=[64])
    assert config.evaluate.workers == 1
    assert config.run_dir == "elsewhere=here"


def test_a_later_override_wins(path: Path) -> None:
    overrides = ["data.partitions=8", "data.partitions=9"]
    assert load_config(path, overrides).data.partitions == 9


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("colour=1", "colour: unknown key"),
        ("data.colour=1", "data.colour: unknown key"),
        ("data.simulate.colour=1", "data.simulate.colour: unknown key"),
        ("rankers.first.model.colour=1", "rankers.first.model.colour: unknown key"),
        ("rankers.second.train.colour=1", "rankers.second.train.colour: unknown key"),
        ("data.partitions=many", "data.partitions: "),
        ("data.partitions=0", "data.partitions: "),
        ("data.partitions=1.5", "data.partitions: "),
        ("data.split.test=1", "data.split.test: "),
        ("data.source=csv", "data.source: "),
        ("data.source=parquet", "data: path belongs to"),
        ("data.path=here", "data: path belongs to"),
        ("data.schema_path=here", "data: schema_path belongs to"),
        ("rankers={}", "rankers: "),
        ("rankers.first.model={}", "rankers.first.model.kind: missing"),
        ("rankers.first.model=[mtgr]", "rankers.first.model: "),
        ("rankers.first.model.kind=7", "rankers.first.model.kind: "),
        ("rankers.first.model.kind=bert", "rankers.first.model.kind: expected mtgr, dlrm"),
        ("rankers.first.model.size=[tiny]", "rankers.first.model.size: "),
        ("rankers.first.model.size=null", "rankers.first.model.layers: missing"),
        ("rankers.first.model.heads=5", "rankers.first.model: d_model / heads"),
        ("rankers.first.model.heads=8", "rankers.first.model: d_model / heads"),
        ("rankers.second.train.seed=-1", "rankers.second.train.seed: "),
        ("rankers.second.train.precision=float8", "rankers.second.train.precision: "),
        ("rankers.second.train.use_gpu=perhaps", "rankers.second.train.use_gpu: "),
    ],
)
def test_a_fault_is_named(path: Path, override: str, key: str) -> None:
    message = fault(path, override)
    assert message.startswith(f"{path}: {key}"), message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.partitions", "data.partitions: expected key=value"),
        ("data.partitions=[", "data.partitions=[: the value is not YAML"),
        ("run_dir.x=1", "run_dir.x=1: run_dir is not a section"),
    ],
)
def test_an_override_that_cannot_be_applied(path: Path, override: str, message: str) -> None:
    assert fault(path, override).startswith(message)


def test_missing_keys_and_no_mapping(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("run_dir: x")
    assert fault(path).split("\n") == [f"{path}: data: missing", f"{path}: rankers: missing"]
    path.write_text("")
    assert fault(path).startswith(f"{path}: expected a mapping")
    assert "no such file" in fault(tmp_path / "none.yaml")


def test_values_are_frozen_and_round_trip(path: Path) -> None:
    config = load_config(path, [])
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config
    with pytest.raises(ValidationError):
        config.data.partitions = 3


def test_rankers_by_name_or_the_first(path: Path) -> None:
    config = load_config(path, [])
    assert config.ranker(None)[0] == "first"
    assert config.ranker("second") == ("second", config.rankers["second"])
    with pytest.raises(ConfigError, match="no ranker 'third'; there are first, second"):
        config.ranker("third")


# The lab's are of a kind of their own: tests/lab/test_lab_config.py.
RUNS = [file for file in sorted((ROOT / "jobs").glob("*.yaml")) if "lab" not in file.name]


@pytest.mark.parametrize("file", RUNS, ids=lambda f: f.name)
def test_the_shipped_configurations_load(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "RAYRANK_RUNS", "s3://bucket/runs"
    )  # the cluster's, of those that run on one
    source = yaml.safe_load(file.read_text())["data"]
    needs_path = source["source"] != "simulate" and "path" not in source
    config = load_config(file, ["data.path=here"] if needs_path else [])
    assert config.rankers


@pytest.mark.parametrize(
    ("told", "means"),
    [
        ("$RUNS/x", "s3://bucket/runs/x"),
        ("${RUNS}x/$PART", "s3://bucket/runsx/one"),
        ("plain", "plain"),
        ("$$RUNS/x", "$RUNS/x"),
    ],
)
def test_places_may_name_variables(
    path: Path, monkeypatch: pytest.MonkeyPatch, told: str, means: str
) -> None:
    monkeypatch.setenv("RUNS", "s3://bucket/runs")
    monkeypatch.setenv("PART", "one")
    config = load_config(path, [f"run_dir={told}"])
    assert config.run_dir == means
    assert RankingArgs(bundles=told).bundles == means


def test_a_variable_that_is_not_set_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNS", raising=False)
    with pytest.raises(ConfigError, match=r"run_dir: \$RUNS is not set in the environment"):
        load_config(path, ["run_dir=$RUNS/x"])
    with pytest.raises(ConfigError, match=r"run_dir: a dollar sign without a variable's name"):
        load_config(path, ["run_dir=$/x"])


def test_sizes_are_those_of_the_paper() -> None:
    """MTGR, arXiv 2505.18654, table 2."""
    assert {name: tuple(size.values()) for name, size in SIZES.items() if name != "tiny"} == {
        "small": (3, 512, 2),
        "middle": (5, 768, 3),
        "large": (15, 768, 3),
        "xlarge": (22, 1024, 4),
    }
    for name, size in SIZES.items():
        config = TypeAdapter(MTGRConfig).validate_python({"size": name})
        assert {key: getattr(config, key) for key in size} == size
        assert list(size) == ["layers", "d_model", "heads"]


def test_a_size_fills_in_only_what_is_not_said() -> None:
    config = TypeAdapter(MTGRConfig).validate_python({"size": "small", "layers": 7})
    assert (config.layers, config.d_model, config.heads) == (7, 512, 2)
    config = TypeAdapter(MTGRConfig).validate_python({"d_model": 128})
    assert (config.layers, config.d_model, config.heads) == (2, 128, 2)
