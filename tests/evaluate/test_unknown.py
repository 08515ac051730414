"""Candidates whose label is not known are in no metric of the task."""

import json

import numpy as np
import pyarrow as pa
from rayrank.evaluate.config import EvaluateConfig
from rayrank.evaluate.results import Evaluation
from rayrank.evaluate.run import Trained, compare
from rayrank.model.dlrm import DLRMConfig
from rayrank.schema import Schema
from rayrank.storage import place
from rayrank.train.config import RankerConfig

from ..model.rows import SCHEMA

SETTINGS = EvaluateConfig(bootstrap_samples=20)
ONE_TASK: Schema = SCHEMA.model_copy(update={"tasks": {"click": SCHEMA.tasks["click"]}})


def compared(table: pa.Table, schema: Schema) -> Evaluation:
    trained = Trained("dlrm", RankerConfig(model=DLRMConfig()), place("nowhere"))
    other = table.set_column(3, "p.click", pa.array(1 - table["p.click"].to_numpy()))
    return compare([trained], "rows", {"dlrm": table}, {"other": other}, schema, SETTINGS)


def candidates(unknown: str) -> pa.Table:
    """Twenty users of twenty candidates; of every third one label is not known."""
    draw = np.random.default_rng(0)
    label = {task: draw.integers(0, 2, 400).astype(np.float32) for task in SCHEMA.tasks}
    label[unknown][::3] = np.nan
    return pa.table(
        {
            "user": np.repeat(np.arange(20), 20),
            "history": np.repeat(np.arange(20) * 3, 20),
            "label.click": label["click"],
            "p.click": draw.uniform(size=400),
            "label.order": label["order"],
            "p.order": draw.uniform(size=400),
        }
    )


def test_metrics_are_those_of_the_known() -> None:
    table = candidates("click")
    known = table.filter(~np.isnan(table["label.click"].to_numpy()))
    found, expected = compared(table, ONE_TASK), compared(known, ONE_TASK)
    assert (found.known_labels, found.exposures) == ({"click": 266}, 400)
    for part in ("rankers", "baselines", "differences", "slices", "calibration"):
        one, other = (json.loads(of.model_dump_json())[part] for of in (found, expected))
        assert one == other, part


def test_one_tasks_unknown_labels_are_anothers_business() -> None:
    some, none = compared(candidates("order"), SCHEMA), compared(candidates("order"), ONE_TASK)
    assert some.known_labels == {"click": 400, "order": 266}
    assert some.rankers["dlrm"]["click"] == none.rankers["dlrm"]["click"]
