"""What one has without a sequence model: a running rate, trees on numbers, simulated truth."""

import lightgbm
import numpy as np
import pyarrow as pa

from rayrank.data.ids import to_ids
from rayrank.data.log import Log
from rayrank.data.partition import asked_at
from rayrank.data.row_files import SPLITS, row_files
from rayrank.data.running import running_counts, smoothed
from rayrank.data.times import column_ms
from rayrank.errors import DataError
from rayrank.evaluate.candidates import candidate_table
from rayrank.schema import CANDIDATES, EXPOSURES, Schema
from rayrank.storage import AnyPath, read_parquet

Scores = dict[str, np.ndarray]
"""Task -> score of every test candidate, float64, in the order of `read_candidates`."""


def read_rows(rows: AnyPath, split: str) -> pa.Table:
    """All user rows of a split."""
    files = row_files(rows / split)
    if not files:
        raise DataError(f"{rows / split}: no user rows; run jobs/build_rows.py first")
    return pa.concat_tables([read_parquet(file) for file in files])


def read_candidates(rows: AnyPath, split: str, schema: Schema) -> pa.Table:
    """The candidates of a split with their labels, a line each."""
    return candidate_table(read_rows(rows, split), schema, None)


def item_rate(rows: AnyPath, schema: Schema) -> Scores:
    """(c + 2.5) / (n + 5) of the item over all exposures, test ones too, of which it was known
    strictly before the exposure whether they came to be positive; of a task that is a number the
    mean of what was known, begun as five labels of the mean before the test rows."""
    every = [read_rows(rows, split) for split in SPLITS if row_files(rows / split)]
    shown = [table[CANDIDATES.name].combine_chunks() for table in every]
    item = to_ids(pa.concat_arrays([part.field("item").flatten() for part in shown]), "item")
    time = np.concatenate([part.field("time").flatten().to_numpy() for part in shown])
    tests = len(shown[-1].field("time").flatten())
    scores = {}
    for task, of in schema.tasks.items():
        label, known_at = (
            np.concatenate(
                [
                    t[name].combine_chunks().field(task).flatten().to_numpy(zero_copy_only=False)
                    for t in every
                ]
            )
            for name in ("labels", "labels_known_at")
        )
        never = np.isnan(label)
        known_at = np.where(never, max(time.max(), known_at.max()) + 1, known_at)
        counts = running_counts(item.to_numpy(), time, known_at, np.nan_to_num(label))
        earlier = label[: len(time) - tests]
        start = 0.5 if of.kind == "binary" else float(np.nanmean(earlier))
        scores[task] = smoothed(*counts, start)[len(time) - tests :]
    return scores


def gradient_boosting(rows: AnyPath, schema: Schema, trees: int) -> Scores | None:
    """LightGBM on the candidates' numbers and buckets, with the rankers' losses; None where the
    schema has neither."""
    names = [
        name
        for name, feature in schema.features_of(CANDIDATES.token).items()
        if feature.kind in ("number", "bucket")
    ]
    if not names:
        return None

    def matrix(split: str) -> tuple[np.ndarray, pa.Table]:
        table = read_rows(rows, split)
        candidates = table[CANDIDATES.name].combine_chunks()
        columns = [candidates.field(name).flatten().to_numpy() for name in names]
        return np.column_stack(columns).astype(np.float32), candidate_table(table, schema, None)

    splits = ["train", *(["valid"] if row_files(rows / "valid") else [])]
    parts = [matrix(split) for split in splits]
    x_train = np.concatenate([x for x, _ in parts])
    x_test, _ = matrix("test")
    scores = {}
    for task, of in schema.tasks.items():
        y = np.concatenate([table[f"label.{task}"].to_numpy() for _, table in parts])
        known = ~np.isnan(y)
        number = of.kind == "number"
        settings = {
            "objective": "regression" if number else "binary",
            "verbose": -1,
            "seed": 0,
            "deterministic": True,
            "force_row_wise": True,
        }
        y_train = np.log1p(y[known]) if number else y[known]
        data = lightgbm.Dataset(x_train[known], y_train)
        predicted = lightgbm.train(settings, data, num_boost_round=trees).predict(x_test)
        scores[task] = np.expm1(predicted).clip(0) if number else predicted
    return scores


def oracle(log: Log, schema: Schema, test: pa.Table) -> Scores:
    """The simulated log's own probabilities, `p_TASK`: nothing can rank better."""
    columns = [f"p_{task}" for task in schema.tasks]
    request = [] if schema.request is None else [schema.request]
    truth = log.read(EXPOSURES, [schema.user, schema.item, schema.time, *request, *columns])
    users = to_ids(truth[schema.user].combine_chunks(), schema.user).to_numpy()
    requests = (
        to_ids(truth[request[0]].combine_chunks(), request[0]).to_numpy() if request else None
    )
    asked = asked_at(users, requests, column_ms(truth, schema.time, schema))
    place = {
        key: i
        for i, key in enumerate(
            zip(
                truth[schema.user].to_pylist(),
                truth[schema.item].to_pylist(),
                asked.tolist(),
                strict=True,
            )
        )
    }
    rows = [
        place[key]
        for key in zip(
            test["user"].to_pylist(),
            test["item"].to_pylist(),
            test["time"].to_pylist(),
            strict=True,
        )
    ]
    return {task: truth[f"p_{task}"].to_numpy()[rows] for task in schema.tasks}
