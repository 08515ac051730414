"""What a model costs: weights, FLOPs, training, serving."""

import time
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch

from rayrank.data.jagged import to_jagged
from rayrank.data.packing import pack, row_costs
from rayrank.data.seen import taken
from rayrank.embedding.frozen import FrozenTables, freeze
from rayrank.embedding.tables import LocalTables
from rayrank.evaluate.baselines import read_rows
from rayrank.infer.bundle import Bundle, Manifest
from rayrank.infer.engine import Engine
from rayrank.lab.cell import Cell, Ground
from rayrank.model.flops import parameters
from rayrank.model.ranker import Ranker
from rayrank.schema import CANDIDATES
from rayrank.storage import place
from rayrank.train.export import local_ranker
from rayrank.train.finished import JOURNAL, finished_checkpoint
from rayrank.train.journal import read_story

ROUNDS, BATCH_TOKENS = 15, 16_384


class Size(NamedTuple):
    """What is counted."""

    dense_parameters: int
    sparse_parameters: int
    """Of the ids that training met."""
    flops_per_row: float
    """Of a forward pass, of a test row on average; NaN of a model that does not tell."""
    flops_per_candidate: float


class Speed(NamedTuple):
    """What is timed, and differs from one run to the next."""

    train_tokens_per_s: float
    """Of one worker with as many threads as it was given, beside whatever else ran."""
    serving_ms_100: float
    """A request for 100 candidates, alone, of a test row of median length; the fastest of some."""
    serving_ms_1000: float


def size_of(cell: Cell, ground: Ground) -> Size:
    """Of a trained cell, counted on all test rows."""
    ranker, schema = _ranker(cell, ground), cell.config.view.of(ground.schema)
    rows = read_rows(place(ground.rows), "test")
    candidates, total = 0, 0.0
    for picked in pack(row_costs(rows, 0.0), BATCH_TOKENS):
        batch = to_jagged(rows.slice(picked[0], len(picked)), schema)
        flops = ranker.forward_flops(batch)
        total += float("nan") if flops is None else float(flops)
        candidates += batch.candidates
    tables = ranker.tables
    assert isinstance(tables, LocalTables)
    learned = sum(tables.rows(name).vectors.numel() for name in schema.tables)
    return Size(parameters(ranker), learned, total / len(rows), total / candidates)


def speed_of(cell: Cell, ground: Ground) -> Speed:
    """Of a trained cell. Nothing else should run."""
    steps = read_story(cell.trained_in(ground) / JOURNAL).steps
    warm = steps[len(steps) // 4 :]  # after compilers and caches
    tokens = sum(step.tokens for step in warm) / sum(step.seconds for step in warm)
    ranker, schema = _ranker(cell, ground).eval(), cell.config.view.of(ground.schema)
    trained = ranker.tables
    assert isinstance(trained, LocalTables)
    std, seed = cell.config.model.embedding_std, cell.config.train.seed
    ranker.tables = FrozenTables(
        {name: freeze(name, trained.rows(name), init_std=std, seed=seed) for name in schema.tables}
    )
    manifest = Manifest.model_construct(ranker=cell.model, version="lab")
    engine = Engine(Bundle(manifest, schema, ranker), cache_bytes=0)
    rows = read_rows(place(ground.rows), "test")
    typical = int(np.argsort(rows["tokens"].to_numpy(), kind="stable")[len(rows) // 2])

    def fastest_ms(candidates: int) -> float:
        asked = with_candidates(rows.slice(typical, 1), candidates)
        took = []
        for _ in range(ROUNDS):
            begun = time.perf_counter()
            engine.submit(asked).result()
            took.append(1000 * (time.perf_counter() - begun))
        return min(took)

    speed = Speed(tokens, fastest_ms(100), fastest_ms(1000))
    engine.close()
    return speed


def with_candidates(row: pa.Table, many: int) -> pa.Table:
    """A user row, without labels, that has so many candidates: its own, again and again."""
    column = row.schema.get_field_index(CANDIDATES.name)
    own = row[CANDIDATES.name].combine_chunks()
    count = len(own.field(0).flatten())
    candidates = taken(own, np.sort(np.arange(many) % count), np.array([many]))
    tokens = pa.array(row["tokens"].to_numpy() - count + many)
    grown = row.set_column(column, row.schema.field(column), candidates)
    grown = grown.set_column(row.schema.get_field_index("tokens"), "tokens", tokens)
    return grown.drop_columns(["labels", "labels_known_at"])


def _ranker(cell: Cell, ground: Ground) -> Ranker:
    torch.set_num_threads(1)
    checkpoint = finished_checkpoint(cell.trained_in(ground))
    return local_ranker(cell.config, ground.schema, checkpoint)
