"""A whole lab, small, on Ray: what it writes, what it says, and that it goes on where it was."""

import csv
import shutil
from pathlib import Path

import pytest
from rayrank.lab.config import LabConfig
from rayrank.lab.results import Found
from rayrank.lab.run import lab

TRAIN = {"workers": 1, "threads": 1, "max_cost": 512, "learning_rate": 0.003}
CONTENT = {
    "seeds": 3,
    "seeds_of_changes": 2,
    "trials": 2,
    "models": {
        "mtgr": {
            "model": {"kind": "mtgr", "size": None, "layers": 1, "d_model": 16, "heads": 1},
            "train": TRAIN,
        },
        "dlrm": {"model": {"kind": "dlrm", "hidden": [8]}, "train": TRAIN},
    },
    "search": {"train.learning_rate": [0.001, 0.003]},
    "logs": {
        "food": {
            "data": {
                "source": "simulate",
                "simulate": {"users": 60, "items": 360, "days": 4, "mean_length": 30},
                "split": {"valid": 0.2, "test": 0.2},
            },
            "ablations": {"dropout": {"model.dropout": 0.3}},
            "scaling": {
                "against": "dlrm",
                "families": {"width": {"16": {}, "32": {"model.d_model": 32}}},
            },
        }
    },
    "evaluate": {"bootstrap_samples": 20, "lightgbm_trees": 5},
}
STEADY = ("quality", "ablation", "scaling", "scaling_fit", "trials")
"""Tables that the same seeds make again, figure by figure; what a model costs is timed."""


class Ran:
    """A lab that ran, and ran again after one model's work was lost."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, list[str]()
        config = LabConfig.model_validate(CONTENT | {"run_dir": str(folder)})
        self.found: Found = lab(config, self.said.append)
        self.tables = {name: (folder / f"{name}.csv").read_text() for name in STEADY}
        self.trained = self._trained()
        for lost in ("rankers/dlrm", "eval/dlrm"):
            shutil.rmtree(folder / "food" / lost)
        lab(config, list[str]().append)

    def _trained(self) -> dict[str, float]:
        files = self.folder.glob("food/rankers/mtgr/*/finished.json")
        return {file.parent.name: file.stat().st_mtime for file in files}

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / f"{name}.csv").open() as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def ran(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(tmp_path_factory.mktemp("lab"))


def test_the_same_seeds_give_the_same_tables(ran: Ran) -> None:
    """Of a model that was trained anew too."""
    assert {name: (ran.folder / f"{name}.csv").read_text() for name in STEADY} == ran.tables


def test_what_is_trained_is_not_trained_again(ran: Ran) -> None:
    # Of mtgr: two trials; then three seeds of itself, and two of it with dropout, and wider.
    assert len(ran.trained) == 2 + 3 + 2 * 2
    assert ran._trained() == ran.trained


def test_every_model_has_as_many_trials_and_the_best_is_chosen(ran: Ran) -> None:
    for model in ("mtgr", "dlrm"):
        trials = [line for line in ran.table("trials") if line["model"] == model]
        assert len(trials) == 2
        chosen = [line for line in trials if line["chosen"] == "True"]
        assert [max(trials, key=lambda line: float(line["worth"]))] == chosen


def test_quality_has_everyone_and_every_metric(ran: Ran) -> None:
    lines = [line for line in ran.table("quality") if line["slice"] == "all"]
    assert {line["model"] for line in lines} == {"mtgr", "dlrm", "lightgbm", "item_rate", "oracle"}
    assert {line["task"] for line in lines} == {"click", "order"}
    metrics = {"auc", "gauc", "log_loss", "normalised_entropy", "calibration"}
    assert {line["metric"] for line in lines} == metrics
    best = max(
        (line for line in lines if (line["task"], line["metric"]) == ("click", "gauc")),
        key=lambda line: float(line["mean"]),
    )
    assert best["model"] == "oracle"


def test_differences_are_to_the_subject(ran: Ran) -> None:
    of = {
        (line["model"], line["metric"]): line
        for line in ran.table("quality")
        if line["slice"] == "all" and line["task"] == "click"
    }
    apart = float(of["dlrm", "gauc"]["mean"]) - float(of["mtgr", "gauc"]["mean"])
    assert float(of["dlrm", "gauc"]["difference"]) == pytest.approx(apart, abs=2e-6)
    assert of["mtgr", "gauc"]["difference"] == ""


def test_changes_have_seeds_of_their_own_number(ran: Ran) -> None:
    for name, seeds in (("quality", "3"), ("ablation", "2"), ("scaling", "2")):
        trained = {line["seeds"] for line in ran.table(name)} - {"0"}  # a baseline's
        assert trained == {seeds}, name
    assert "mtgr's changes from 2" in (ran.folder / "report.html").read_text()


def test_costs_are_counted(ran: Ran) -> None:
    cost = {line["model"]: line for line in ran.table("cost")}
    assert float(cost["mtgr"]["flops_per_row"]) > float(cost["dlrm"]["flops_per_row"]) > 0
    sizes = {line["size"]: line for line in ran.table("scaling")}
    assert float(sizes["32"]["flops_per_row"]) > float(sizes["16"]["flops_per_row"])
    assert sizes["16"]["dense_parameters"] == cost["mtgr"]["dense_parameters"]
    assert all(float(line["serving_ms_1000"]) > 0 for line in cost.values())


def test_the_page_and_its_pictures_are_there(ran: Ran) -> None:
    page = (ran.folder / "report.html").read_text()
    for words in ("Quality", "What of mtgr brings it", "What more compute brings", "food, click"):
        assert words in page
    for name in ("quality", "ablation", "scaling", "cost"):
        assert (ran.folder / f"{name}.svg").read_text().startswith("<svg")


def test_it_says_how_far_it_is(ran: Ran) -> None:
    assert any(line.startswith("food: mtgr: 2 trials, the best 0.") for line in ran.said)
    assert "food: models: 6 of 6 made (" in "\n".join(ran.said)
