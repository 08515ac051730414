"""The page of a lab's keys is what the code makes, and has all keys that are no run's."""

from pathlib import Path

from rayrank.lab.config import LabConfig, LogConfig, ScalingConfig
from rayrank.lab.config_page import page

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_code_makes() -> None:
    assert (ROOT / "docs" / "config-lab.md").read_text() == page(), "run make docs"


def test_every_key_is_on_the_page_and_says_what_it_means() -> None:
    lines = [line for line in page().splitlines() if line.startswith("| `")]
    told = {line.split("`")[1] for line in lines}
    every = {
        *LabConfig.model_fields,
        *(f"logs.NAME.{name}" for name in LogConfig.model_fields),
        *(f"logs.NAME.scaling.{name}" for name in ScalingConfig.model_fields),
    }
    a_runs = {"models", "logs", "evaluate", "logs.NAME.data", "logs.NAME.scaling"}
    assert told == every - a_runs
    assert all(line.split(" | ")[-1].rstrip(" |") for line in lines)
    assert "| `logs.NAME.base` | by name: anything | `{}` |" in page()
