"""What rankers are compared with."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from rayrank.data.partition import build_rows
from rayrank.data.row_files import SPLITS
from rayrank.errors import DataError
from rayrank.evaluate.baselines import (
    gradient_boosting,
    item_rate,
    oracle,
    read_candidates,
    read_rows,
)
from rayrank.metrics import auc
from rayrank.schema import CANDIDATES, Schema, Task

from ..data.logs import DAY, HOUR, START, Records, logs, shop_schema, shown, write
from ..data.reference import outcomes
from ..effort import examples

SCHEMA = shop_schema()
CUTS = [START + DAY, START + 2 * DAY]


def build(folder: Path, records: Records, schema: Schema = SCHEMA) -> Path:
    """User rows as the builder leaves them: a file for every user and split."""
    built = build_rows(records.tables(), schema, CUTS)
    for number, name in enumerate(SPLITS):
        rows = built.rows.filter(pa.array(built.split == number))
        for row in range(len(rows)):
            day = folder / name / f"day {row}"
            day.mkdir(parents=True)
            pq.write_table(rows.slice(row, 1), day / "part.parquet")
    return folder


@settings(max_examples=examples(30), deadline=None)
@given(records=logs(max_size=24))
def test_an_items_rate_counts_what_was_known_strictly_before(records: Records) -> None:
    if not any(e["t"] >= CUTS[1] for e in records.exposures):
        records.exposures.append(shown(time=CUTS[1]))
    with TemporaryDirectory() as name:
        rows = build(Path(name), records)
        test = read_candidates(rows, "test", SCHEMA)
        scores = item_rate(rows, SCHEMA)
    exposures = sorted(records.exposures, key=lambda e: e["t"])
    results = outcomes(SCHEMA, exposures, records.events)
    for task, found in scores.items():
        expected = []
        for line in test.to_pylist():
            labels = [
                outcome.label
                for exposure, outcome in zip(exposures, results[task], strict=True)
                if exposure["i"] == line["item"]
                and outcome.label is not None
                and outcome.known_at < line["time"]
            ]
            expected.append((sum(labels) + 2.5) / (len(labels) + 5))
        assert found.tolist() == pytest.approx(expected)


def test_a_rate_by_hand(tmp_path: Path) -> None:
    first, second, third = CUTS[0] - HOUR, CUTS[1] + HOUR, CUTS[1] + 2 * HOUR
    records = Records(
        [
            shown(1, 1, first, click=1),
            shown(1, 2, first, click=0),
            shown(2, 1, second, click=0),
            shown(1, 1, second, click=1),
            shown(1, 1, third, click=1),
        ]
    )
    rows = build(tmp_path, records)
    test = read_candidates(rows, "test", SCHEMA)
    found = dict(
        zip(
            zip(test["user"].to_pylist(), test["time"].to_pylist(), strict=True),
            item_rate(rows, SCHEMA)["click"].tolist(),
            strict=True,
        )
    )
    assert found == pytest.approx({(2, second): 3.5 / 6, (1, second): 3.5 / 6, (1, third): 4.5 / 8})


def test_trees_learn_from_known_labels_alone(tmp_path: Path) -> None:
    """Half of the clicks are unknown, and the others say what the numbers mean."""
    draw = np.random.default_rng(0)
    exposures = []
    for hour in range(72):
        for user in range(6):
            ctr = float(draw.uniform())
            click = int(ctr > 0.5) if hour % 2 else None
            exposures.append(shown(user, user, START + hour * HOUR, ctr=ctr, click=click))
    rows = build(tmp_path, Records(exposures))
    scores = gradient_boosting(rows, SCHEMA, trees=10)
    assert scores is not None
    test = read_candidates(rows, "test", SCHEMA)
    label = test["label.click"].to_numpy()
    known = ~np.isnan(label)
    assert 0 < known.sum() < len(known)
    assert auc(label[known], scores["click"][known]) > 0.95


TIMED = SCHEMA.model_copy(
    update={"tasks": {**SCHEMA.tasks, "seconds": Task(kind="number", label="seconds")}}
)


def test_the_rate_of_a_number_is_a_running_mean(tmp_path: Path) -> None:
    first, later, last = CUTS[0] - HOUR, CUTS[1] + HOUR, CUTS[1] + 2 * HOUR
    records = Records(
        [
            shown(1, 1, first, seconds=10),
            shown(1, 2, first, seconds=30),
            shown(1, 3, first, seconds=None),
            shown(2, 1, later, seconds=70),
            shown(1, 3, later, seconds=5),
            shown(1, 1, last, seconds=0),
        ]
    )
    rows = build(tmp_path, records, TIMED)
    test = read_candidates(rows, "test", TIMED)
    keys = zip(test["item"].to_pylist(), test["time"].to_pylist(), strict=True)
    found = dict(zip(keys, item_rate(rows, TIMED)["seconds"].tolist(), strict=True))
    start = (10 + 30) / 2
    assert found == pytest.approx(
        {
            (1, later): (10 + 5 * start) / 6,
            (3, later): start,
            (1, last): (10 + 70 + 5 * start) / 7,
        }
    )


def test_trees_learn_a_number_on_its_log_scale(tmp_path: Path) -> None:
    """Half of the times nobody knows; a ninth are a hundred times too long, which a mean follows
    and a mean of logarithms hardly does."""
    draw = np.random.default_rng(0)
    exposures = []
    for hour in range(72):
        for user in range(9):
            ctr = float(draw.uniform())
            seconds = 100.0 * (1 + (ctr > 0.5)) * (100 if (hour + user) % 9 == 0 else 1)
            known = seconds if hour % 2 else None
            exposures.append(shown(user, user, START + hour * HOUR, ctr=ctr, seconds=known))
    rows = build(tmp_path, Records(exposures), TIMED)
    scores = gradient_boosting(rows, TIMED, trees=60)
    assert scores is not None
    test = read_rows(rows, "test")[CANDIDATES.name].combine_chunks()
    ctr = test.field("ctr").flatten().to_numpy()
    short, long = (np.median(scores["seconds"][of]) for of in (ctr < 0.4, ctr > 0.6))
    assert 100 < short < 300  # means are 1,200 and 2,400
    assert 1.4 * short < long < 600


def test_the_oracle_finds_each_candidates_own_probabilities(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    places = draw.permutation(4 * 3 * 30)[:120]
    exposures = [
        shown(int(p % 4), int(p // 4 % 3), START + int(p // 12) * 2 * HOUR) for p in places
    ]
    rows = build(tmp_path / "rows", Records(exposures))
    truth = {(e["u"], e["i"], e["t"]): tuple(draw.uniform(size=2)) for e in exposures}
    # The log in another order, and in another unit of time than the rows.
    shuffled = [list(truth)[i] for i in draw.permutation(len(truth))]
    log = write(
        tmp_path / "log",
        {
            "exposures": pa.table(
                {
                    "u": [u for u, _, _ in shuffled],
                    "i": [i for _, i, _ in shuffled],
                    "t": [t // 1000 for _, _, t in shuffled],
                    "p_click": [truth[key][0] for key in shuffled],
                    "p_order": [truth[key][1] for key in shuffled],
                }
            )
        },
    )
    test = read_candidates(rows, "test", SCHEMA)
    scores = oracle(log, shop_schema({"time_unit": "s"}), test)
    keys = list(zip(*(test[n].to_pylist() for n in ("user", "item", "time")), strict=True))
    assert len(keys) > 10
    assert scores["click"].tolist() == [truth[key][0] for key in keys]
    assert scores["order"].tolist() == [truth[key][1] for key in keys]


def planted(users: int) -> Records:
    """Clicks where `ctr` is high."""
    draw = np.random.default_rng(1)
    exposures = []
    for user in range(users):
        for day in range(3):
            for slot in range(6):
                ctr = float(draw.uniform())
                exposures.append(
                    shown(
                        user,
                        int(draw.integers(4)),
                        START + day * DAY + slot * HOUR,
                        ctr=ctr,
                        click=int(ctr > 0.5),
                    )
                )
    return Records(exposures)


def test_trees_learn_from_numbers(tmp_path: Path) -> None:
    rows = build(tmp_path, planted(20))
    test = read_candidates(rows, "test", SCHEMA)
    scores = gradient_boosting(rows, SCHEMA, trees=20)
    assert scores is not None
    label = test["label.click"].to_numpy()
    assert len(scores["click"]) == len(label)
    assert auc(label, scores["click"]) > 0.95
    again = gradient_boosting(rows, SCHEMA, trees=20)
    assert again is not None
    assert again["click"].tolist() == scores["click"].tolist()


def test_trees_need_a_number(tmp_path: Path) -> None:
    schema = shop_schema({"features.price": None, "features.ctr": None})
    assert gradient_boosting(build(tmp_path, planted(2), schema), schema, trees=5) is None


def test_no_rows_say_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"test: no user rows.*jobs/build_rows.py"):
        read_candidates(tmp_path, "test", SCHEMA)
