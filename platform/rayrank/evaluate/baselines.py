"""What one has without a sequence model: a running rate, trees on numbers, simulated truth."""

import lightgbm
import numpy as np
import pyarrow as pa

from rayrank.data.ids import to_ids
from rayrank.data.log import Log
from rayrank.data.running import running_counts, smoothed
from rayrank.data.times import to_ms
from rayrank.errors import DataError
from rayrank.evaluate.predict import candidate_table
from rayrank.schema import Schema
from rayrank.storage import AnyPath, files_in, read_parquet

Scores = dict[str, np.ndarray]
"""Task -> score of every test candidate, float64, in the order of `read_candidates`."""


def read_rows(rows: AnyPath, split: str) -> pa.Table:
    """All user rows of a split."""
    files = files_in(rows / split, "*.parquet")
    if not files:
        raise DataError(f"{rows / split}: no user rows; run jobs/build_rows.py first")
    return pa.concat_tables([read_parquet(file) for file in files])


def read_candidates(rows: AnyPath, split: str, schema: Schema) -> pa.Table:
    """The candidates of a split with their labels, a line each."""
    return candidate_table(read_rows(rows, split), schema, None)


def item_rate(rows: AnyPath, schema: Schema, test: pa.Table) -> Scores:
    """(c + 2.5) / (n + 5) of the item over all strictly earlier exposures, test ones too."""
    earlier = [
        read_candidates(rows, split, schema)
        for split in ("train", "valid")
        if files_in(rows / split, "*.parquet")
    ]
    every = pa.concat_tables([*earlier, test])
    item = to_ids(every["item"].combine_chunks(), "item").to_numpy()
    time = every["time"].to_numpy()
    scores = {}
    for task in schema.tasks:
        counts = running_counts(item, time, time, every[f"label.{task}"].to_numpy())
        scores[task] = smoothed(*counts)[len(every) - len(test) :]
    return scores


def gradient_boosting(rows: AnyPath, schema: Schema, trees: int) -> Scores | None:
    """LightGBM on the candidates' numbers and buckets; None where the schema has neither."""
    names = [
        name
        for name, feature in schema.features_of("candidate").items()
        if feature.kind in ("number", "bucket")
    ]
    if not names:
        return None

    def matrix(split: str) -> tuple[np.ndarray, pa.Table]:
        table = read_rows(rows, split)
        candidates = table["candidates"].combine_chunks()
        columns = [candidates.field(name).flatten().to_numpy() for name in names]
        return np.column_stack(columns).astype(np.float32), candidate_table(table, schema, None)

    splits = ["train", *(["valid"] if files_in(rows / "valid", "*.parquet") else [])]
    parts = [matrix(split) for split in splits]
    x_train = np.concatenate([x for x, _ in parts])
    x_test, _ = matrix("test")
    scores = {}
    for task in schema.tasks:
        y = np.concatenate([table[f"label.{task}"].to_numpy() for _, table in parts])
        settings = {
            "objective": "binary",
            "verbose": -1,
            "seed": 0,
            "deterministic": True,
            "force_row_wise": True,
        }
        model = lightgbm.train(settings, lightgbm.Dataset(x_train, y), num_boost_round=trees)
        scores[task] = model.predict(x_test)
    return scores


def oracle(log: Log, schema: Schema, test: pa.Table) -> Scores:
    """The simulated log's own probabilities, `p_TASK`: nothing can rank better."""
    columns = [f"p_{task}" for task in schema.tasks]
    truth = log.read("exposures", [schema.user, schema.item, schema.time, *columns])
    times = to_ms(truth[schema.time].combine_chunks(), schema.time_unit, schema.time)
    place = {
        key: i
        for i, key in enumerate(
            zip(
                truth[schema.user].to_pylist(),
                truth[schema.item].to_pylist(),
                times.to_pylist(),
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
