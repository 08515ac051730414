"""What the lab is told, and what it says to what cannot be."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from rayrank.errors import ConfigError
from rayrank.lab.config import LabConfig, changed, load_lab
from rayrank.train.config import RankerConfig

from ..changes import changed as otherwise

ROOT = Path(__file__).parents[2]
CONTENT: dict[str, Any] = {
    "run_dir": "runs/lab",
    "models": {
        "mtgr": {"model": {"kind": "mtgr"}},
        "dlrm": {"model": {"kind": "dlrm"}},
    },
    "search": {"train.learning_rate": [0.001, 0.002]},
    "logs": {
        "feed": {
            "data": {"source": "simulate", "split": {"valid": 0.2, "test": 0.2}},
            "base": {"train.epochs": 2},
            "search": {"model.dropout": [0.0, 0.1]},
            "ablations": {"one layer": {"model.layers": 1}},
            "scaling": {"against": "dlrm", "families": {"depth": {"3": {"model.layers": 3}}}},
        }
    },
}


def config(path: str = "", value: Any = None) -> LabConfig:
    return LabConfig.model_validate(otherwise(CONTENT, path, value) if path else CONTENT)


def test_it_can_be_read() -> None:
    found = config()
    assert found.search_on("feed") == {
        "train.learning_rate": [0.001, 0.002],
        "model.dropout": [0.0, 0.1],
    }
    assert found.logs["feed"].of_subject() == {
        "one layer": {"model.layers": 1},
        "3": {"model.layers": 3},
    }


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("subject", "mine", "no model 'mine'; there are mtgr, dlrm"),
        ("logs.feed.scaling.against", "din", "logs.feed.scaling.against: no model 'din'"),
        ("logs.feed.data.split", {"valid": 0.0, "test": 0.2}, "trials are chosen on valid"),
        ("logs.feed.base", {"model.nothing": 1}, "nothing"),
        ("logs.feed.base", {"nowhere.x": 1}, "there is no section 'nowhere'"),
        ("logs.feed.ablations", {"deep": {"model.layers": -1}}, "model.layers"),
        ("logs.feed.search", {"train.epochs": [1, 0]}, "train.epochs"),
        ("search", {"train.epochs": []}, "at least 1 item"),
        ("seeds", 1, "greater than or equal to 2"),
        ("seeds_of_changes", 9, "seeds_of_changes: 9: at most seeds"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(
    path: str, value: Any, words: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        config(path, value)
    assert words in str(refused.value)


def test_a_change_changes_that_and_nothing_else() -> None:
    base = RankerConfig.model_validate({"model": {"kind": "mtgr"}})
    found = changed(base, {"model.layers": 5, "train.epochs": 3})
    assert found.model.model_dump() == base.model.model_dump() | {"layers": 5}
    assert found.train == base.train.model_copy(update={"epochs": 3})


@pytest.mark.parametrize("name", ["lab.yaml", "lab_quick.yaml"])
def test_the_labs_own_configs_can_be_read(name: str) -> None:
    assert load_lab(ROOT / "jobs" / name).models


def test_a_files_faults_are_for_people(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_lab(tmp_path / "lab.yaml")
    (tmp_path / "lab.yaml").write_text("run_dir: x\nmodels: {}\nlogs: {}\n")
    with pytest.raises(ConfigError, match=r"lab\.yaml: models: "):
        load_lab(tmp_path / "lab.yaml")
