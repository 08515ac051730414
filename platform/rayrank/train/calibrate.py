"""What a visible pair costs on the device at hand, in what a token costs beside its pairs."""

import time
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from rayrank.data.jagged import JaggedBatch, to_jagged
from rayrank.data.packing import pack
from rayrank.data.row_files import row_files
from rayrank.data.row_stats import read_stats
from rayrank.embedding.tables import LocalTables
from rayrank.errors import DataError
from rayrank.model.build import build_model
from rayrank.model.ranker import Ranker
from rayrank.schema import Schema
from rayrank.storage import AnyPath, arrow_place
from rayrank.train.config import RankerConfig
from rayrank.train.optimize import in_precision

ROWS = 4096
"""User rows that are looked at, at least, where there are so many."""
BATCHES = 12
"""Of short rows to long ones, that are timed."""
TIMES = 3
"""Each; the shortest counts, for whatever else runs only adds to it."""


class Calibration(NamedTuple):
    """What was measured, beside what the model's FLOPs say."""

    pair_cost: float
    """As `train.pair_cost`; 0 where pairs took no time that could be seen."""
    by_flops: float
    token_us: float
    """Of a step's forward and backward pass, microseconds for a token beside its pairs."""
    off_by: float
    """By what share the times of batches lie off what tokens and pairs explain, on average."""


def calibrate(
    schema: Schema, config: RankerConfig, rows: AnyPath, device: torch.device
) -> Calibration:
    """Time forward and backward passes over training rows, batches of short ones to batches of
    long ones, on one process. Raises DataError where all rows are alike: then nothing tells pairs
    from tokens."""
    schema, read = config.view.of(schema), _some_rows(rows / "train")
    per_token = read["visible_pairs"].to_numpy() / read["tokens"].to_numpy()
    read = read.take(pa.array(np.argsort(per_token, kind="stable")))
    batches = pack(read["tokens"].to_numpy().astype(float), config.train.max_cost)
    picked = np.unique(np.linspace(0, len(batches) - 1, BATCHES).astype(int))
    parts = [read.take(pa.array(batches[number])) for number in picked]
    tokens, pairs = (
        np.array([part[of].to_numpy().sum() for part in parts], np.float64)
        for of in ("tokens", "visible_pairs")
    )
    if (pairs / tokens).max() < 1.2 * (pairs / tokens).min():
        raise DataError(
            f"{rows}: tokens of all training rows see alike much, so that nothing tells what a "
            "pair costs; leave train.pair_cost at null"
        )
    tables = LocalTables(schema.tables, init_std=config.model.embedding_std, seed=0)
    ranker = build_model(schema, config.model, tables, read_stats(rows).scales()).to(device)
    seconds = np.array(
        [_seconds(ranker, to_jagged(part, schema).to(device), config) for part in parts]
    )
    return fit(tokens, pairs, seconds, by_flops=config.model.pair_in_tokens())


def fit(
    tokens: np.ndarray, pairs: np.ndarray, seconds: np.ndarray, *, by_flops: float
) -> Calibration:
    """What token and pair cost, both at least 0, that explain the batches' times best: relative
    to each time (least squares), so that short batches count as much as long ones. All float64
    [batches]."""
    design = np.stack([tokens, pairs], 1) / seconds[:, None]
    of_token, of_pair = np.linalg.lstsq(design, np.ones(len(seconds)), rcond=None)[0]
    if of_pair < 0:
        of_token, of_pair = design[:, 0].sum() / (design[:, 0] ** 2).sum(), 0.0
    explained = of_token * tokens + of_pair * pairs
    return Calibration(
        pair_cost=float(of_pair / of_token),
        by_flops=by_flops,
        token_us=1e6 * float(of_token),
        off_by=float(np.abs(explained / seconds - 1).mean()),
    )


def _some_rows(folder: AnyPath) -> pa.Table:
    """Row groups of files spread over the days, until they are enough."""
    files, read, found = row_files(folder), [], 0
    for number in np.random.default_rng(0).permutation(len(files)):
        filesystem, path = arrow_place(files[number])
        with filesystem.open_input_file(path) as source:
            group = pq.ParquetFile(source).read_row_group(0)
        read.append(group)
        found += len(group)
        if found >= ROWS:
            break
    if not found:
        raise DataError(f"{folder}: no user rows; run jobs/build_rows.py first")
    return pa.concat_tables(read)


def _seconds(ranker: Ranker, batch: JaggedBatch, config: RankerConfig) -> float:
    """Of a forward and a backward pass; the first one, which makes rows of ids, does not count."""
    found = []
    for _ in range(1 + TIMES):
        _finish(batch.device)
        begun = time.perf_counter()
        with in_precision(config.train, batch.device):
            logits_CK = ranker(batch)
        ranker.loss(logits_CK, batch).backward()
        _finish(batch.device)
        found.append(time.perf_counter() - begun)
        ranker.zero_grad()
    return min(found[1:])


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
