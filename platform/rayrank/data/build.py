"""The user-row builder on Ray Data: one hash repartition on the user, then whole partitions.

Exposures, events and users travel through the same shuffle, so that everything about a user meets
in one partition; items are small and go to every task.
"""

import json
from collections import Counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from rayrank import errors
from rayrank.data.config import DataConfig, SplitConfig
from rayrank.data.ids import IdTypes, id_type, to_ids
from rayrank.data.log import (
    EVENT_TYPE,
    Log,
    check_columns,
    check_file,
    check_types,
    tables_needed,
    tables_of,
    types_of,
    types_used,
)
from rayrank.data.partition import OBSERVED, build_rows, last_ms
from rayrank.data.row_stats import STATS, TRAIN, RowStats, row_stats
from rayrank.data.times import column_ms
from rayrank.errors import DataError, RayrankError
from rayrank.schema import EXPOSURES, Schema
from rayrank.storage import AnyPath, absolute, remove_folder, write_whole, writing_file
from rayrank.versions import MadeFrom
from rayrank.watch import Watch

SPLITS = ("train", "valid", "test")
KEY = "__user"
FORMAT = 2
"""Of the user rows; raised when the same log would give others."""


def build(log: Log, schema: Schema, out: AnyPath, config: DataConfig, watch: Watch) -> RowStats:
    """Check the log, then write `out/{train,valid,test}/*.parquet` and, last, `out/stats.json`.

    Every exposure of the log becomes exactly one candidate. Raises DataError or LeakageError,
    naming file or table, column and user; no rows are then left in `out`.
    """
    out = absolute(out)
    _remove_rows(out)  # of a build that was cut
    check_columns(log, schema)
    complete_until_ms = _check_values(log, schema)
    if config.complete_until is not None:
        complete_until_ms = int(config.complete_until.timestamp() * 1000)
    time_ms = column_ms(log.read(EXPOSURES, [schema.time]), schema.time, schema)
    cuts = split_times(time_ms, config.split)

    try:
        stats = _group(log, schema, out, cuts, complete_until_ms, config, watch)
        if stats.exposures != len(time_ms):
            raise DataError(
                f"{log.root}: {len(time_ms)} exposures went in, {stats.exposures} came "
                "out; this is a fault of the builder"
            )
        if stats.rows_of_split[TRAIN] == 0:
            raise DataError(
                f"{log.root}: no row is left to train on: valid and test take all "
                f"{stats.exposures} exposures; make data.split.valid or data.split.test smaller"
            )
        for task, unknown in stats.unknown.items():
            if unknown == stats.exposures:
                raise DataError(
                    f"{log.root}: task {task!r}: not one label is known; the log is complete until "
                    f"{stats.complete_until()}"
                )
    except BaseException:
        _remove_rows(out)
        raise
    write_whole(out / STATS, json.dumps(stats.to_json(), indent=1))
    return stats


def _remove_rows(out: AnyPath) -> None:
    for split in SPLITS:
        remove_folder(out / split)


def rows_made_from(log: Log, schema: Schema, config: DataConfig) -> MadeFrom:
    """What user rows are made from: the content of the tables, the schema, the cuts. Reads the
    whole log; how many partitions it was grouped in changes no row."""
    return {
        "log": log.fingerprint(tables_needed(schema)),
        "schema": schema.model_dump(mode="json"),
        "split": config.split.model_dump(mode="json"),
        "complete_until": config.model_dump(mode="json")["complete_until"],
        "format": FORMAT,
    }


def split_times(time_ms: np.ndarray, split: SplitConfig) -> list[int]:
    """When valid and test start, given every exposure's time."""
    trained = int((1 - split.test) * len(time_ms))
    # Past the last exposure means: nothing belongs to that split.
    ends = np.append(np.sort(time_ms), time_ms.max() + 1)
    return [int(ends[int((1 - split.valid) * trained)]), int(ends[trained])]


class _FileFacts(NamedTuple):
    """What the check of a file tells of it, beside that it is sound."""

    last_ms: int
    """Of its exposures or events."""
    types: dict[str, int]
    """Of its rows, where the schema tells them apart by type."""


def _check_values(log: Log, schema: Schema) -> int:
    """Every file at once, each in a task of its own; the first fault in file order is raised.
    Returns the time (ms) of the log's last exposure or event."""
    check = ray.remote(num_cpus=1)(_checked)
    files = [(table, file) for table in tables_needed(schema) for file in log.files(table)]
    found = ray.get([check.remote(log, schema, table, file) for table, file in files])
    counts: dict[str, Counter[str]] = {}
    for (table, _), facts in zip(files, found, strict=True):
        if isinstance(facts, RayrankError):
            raise facts
        counts.setdefault(table, Counter()).update(facts.types)
    check_types(schema, counts, log.root)
    return max(facts.last_ms for facts in found)


def _checked(log: Log, schema: Schema, table: str, file: str) -> _FileFacts | RayrankError:
    # Returned, not raised: Ray would wrap it in its own traceback.
    try:
        rows = check_file(log, schema, table, file)
    except RayrankError as error:
        return error
    types: dict[str, int] = {}
    if types_used(schema, table):
        counted = rows[EVENT_TYPE].value_counts().to_pylist()
        types = {row["values"]: row["counts"] for row in counted}
    return _FileFacts(last_ms(rows, schema) if table in OBSERVED else 0, types)


def _group(
    log: Log,
    schema: Schema,
    out: AnyPath,
    cuts: list[int],
    complete_until_ms: int,
    config: DataConfig,
    watch: Watch,
) -> RowStats:
    needed = tables_needed(schema)
    items = ray.put(log.read("items", needed["items"])) if "items" in needed else None
    shuffled = [table for table in needed if table != "items"]
    template = {t: types_of(log, t, needed[t]) for t in shuffled}
    columns: list[pa.Field] = [pa.field(KEY, pa.int64())]
    columns += [
        pa.field(f"{t}.{c}", template[t].field(c).type) for t in shuffled for c in needed[t]
    ]
    union = pa.schema(columns)

    id_types = _id_types(log, schema)
    files = pa.table(
        {
            "table": [t for t in shuffled for _ in log.files(t)],
            "file": [f for t in shuffled for f in log.files(t)],
        }
    )

    def read(batch: pa.Table) -> pa.Table:
        parts = []
        for table, file in zip(batch["table"].to_pylist(), batch["file"].to_pylist(), strict=True):
            rows = log.read_file(file, needed[table])
            present = {f"{table}.{c}": rows[c] for c in needed[table]}
            present[KEY] = to_ids(rows[schema.user].combine_chunks(), schema.user)
            parts.append(
                pa.table(
                    [
                        present[f.name].cast(f.type)
                        if f.name in present
                        else pa.nulls(len(rows), f.type)
                        for f in union
                    ],
                    schema=union,
                )
            )
        return pa.concat_tables(parts)

    def grouped(batch: pa.Table) -> pa.Table:
        def side(table: str) -> pa.Table:
            rows = batch.filter(batch[f"{table}.{schema.user}"].is_valid())
            rows = rows.select([f"{table}.{c}" for c in needed[table]])
            return rows.rename_columns(needed[table])

        tables = {table: side(table) for table in shuffled}
        if len(tables[EXPOSURES]) == 0:
            return pa.table({"stats": pa.array([], pa.string())})
        if items is not None:
            tables["items"] = ray.get(items)
        try:
            built = build_rows(tables, schema, cuts, complete_until_ms)
        except RayrankError as error:
            return pa.table({"stats": [json.dumps({"error": [type(error).__name__, str(error)]})]})
        # Users are disjoint between partitions, so their smallest key names a partition.
        part = (
            f"part-{np.uint64(batch[KEY].combine_chunks().to_numpy().view(np.uint64).min()):016x}"
        )
        for number, name in enumerate(SPLITS):
            rows = built.rows.filter(pa.array(built.split == number))
            if len(rows):
                with writing_file(out / name / f"{part}.parquet") as file:
                    pq.write_table(rows, file, row_group_size=1024)
        stats = row_stats(built, schema, cuts, complete_until_ms, id_types)
        return pa.table({"stats": [json.dumps(stats.to_json())]})

    dataset = (
        ray.data.from_arrow(files)
        .repartition(len(files))
        .map_batches(read, batch_size=None, batch_format="pyarrow")
        .repartition(config.partitions, keys=[KEY])
        .map_batches(grouped, batch_size=None, batch_format="pyarrow", zero_copy_batch=True)
    )
    dataset.set_name(f"user rows {out.name}")
    parts: list[str] = []
    for row in dataset.iter_rows():
        part = json.loads(row["stats"])
        if "error" in part:
            _raise(part["error"])
        parts.append(row["stats"])
        watch(len(parts), config.partitions)
    # In an order of their own: a sum of floats must not depend on which partition came first.
    return RowStats.merge([RowStats.from_json(json.loads(part)) for part in sorted(parts)])


def _id_types(log: Log, schema: Schema) -> IdTypes:
    types = {t: types_of(log, t, columns) for t, columns in tables_needed(schema).items()}
    found: IdTypes = {}
    for name, feature in schema.features.items():
        if feature.kind in ("id", "ids"):
            column = schema.column(name)
            for table in {feature.source} if feature.source else sorted(tables_of(schema, name)):
                kind = id_type(types[table].field(column).type)
                if found.setdefault(name, kind) != kind:
                    raise DataError(
                        f"{log.files(table)[0]}: column {column!r}: its ids are of type {kind}, "
                        f"those of other tables of feature {name!r} {found[name]}: they would "
                        "never meet"
                    )
    return found


def _raise(error: list[Any]) -> None:
    raise getattr(errors, error[0])(error[1])
