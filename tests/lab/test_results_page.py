"""The page of a lab that was kept is what its tables make, and says what can be told apart."""

from pathlib import Path

import pytest
from rayrank.lab.results import CostLine, FitLine, Found, Line, SizeLine, TrialLine
from rayrank.lab.results_page import page

NAN = float("nan")
DOCS = Path(__file__).parents[2] / "docs"


def line(model: str, metric: str, difference: float = NAN, half: float = NAN) -> Line:
    low, high = difference - half, difference + half
    return Line("food", model, "click", "all", metric, 0.75, 0.01, 3, 0.02, difference, low, high)


FOUND = Found(
    "mtgr",
    [line("mtgr", "gauc"), line("dlrm", "gauc", -0.02, 0.01), line("dcn", "gauc", -0.02, 0.03)],
    [line("causal mask", "gauc", -0.005, 0.001)],
    [SizeLine("food", "depth", "small", 2e6, 1000, 20, "click", "gauc", 0.7, 0.01, 3, 0.1, 0, 0.2)],
    [
        FitLine("food", "depth", "click", "dlrm", 0.5, 0.25, -0.125, 0.5),
        FitLine("food", "width", "click", "dlrm", 0.5, 2.5, -2.9999, 2.9999),
    ],
    [CostLine("food", "mtgr", 1000, 20, 2e6, 5e4, 1234.0, 1.5, 2.5)],
    [TrialLine("food", "mtgr", '{"train.epochs": 3}', 0.75, True)],
    [],
)


def test_tables_are_read_as_they_were_written() -> None:
    again = Found.of("mtgr", FOUND.tables())
    assert again.tables() == FOUND.tables()
    assert again.scaling == FOUND.scaling
    assert again.trials == FOUND.trials
    assert (again.fits, again.costs) == (FOUND.fits, FOUND.costs)


@pytest.mark.parametrize(
    "told",
    [
        "| dlrm | – | 0.7500 ± 0.0100 | **−0.0200 [−0.0300, −0.0100]** |",
        "| dcn | – | 0.7500 ± 0.0100 | −0.0200 [−0.0500, +0.0100] |",
        "| mtgr | – | 0.7500 ± 0.0100 | – |",
        "| causal mask | **−0.0050 [−0.0060, −0.0040]** |",
        "| food, click: depth | small | 2 | 1,000 | 20 | 0.7000 ± 0.0100 | +0.1000 [+0.0000, ",
        "| food, click: depth | 0.25 [−0.12, 0.50] |",
        "| food, click: width | not told by these sizes |",
        "| food, mtgr | 1,000 | 20 | 2 | 0.05 | 1,234 | 1.5 | 2.5 |",
        "![What of MTGR brings it](lab/ablation.svg)",
    ],
)
def test_a_line(told: str) -> None:
    assert told in page(FOUND, ["ablation"])


def test_the_page_is_what_its_tables_make() -> None:
    tables = {file.stem: file.read_text() for file in (DOCS / "lab").glob("*.csv")}
    pictures = [file.stem for file in (DOCS / "lab").glob("*.svg")]
    told = (DOCS / "lab-results.md").read_text()
    assert told == page(Found.of("mtgr", tables), pictures), "run make docs"
