"""Packing on Ray Data: shuffle user rows by a hash of (seed, epoch, row), pack each partition."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from rayrank.data.ids import to_ids
from rayrank.data.packing import USERS, Packing, pack, row_costs
from rayrank.errors import DataError
from rayrank.storage import AnyPath, absolute, arrow_place, files_in, write_whole, writing_file

EPOCH, BUCKET, PLACE = "__epoch", "__bucket", "__place"
ROWS_PER_BUCKET = 4096


COMPLETE = "complete"
"""The file that says that all epochs are packed."""


def pack_epochs(rows: AnyPath, packing: Packing, out: AnyPath) -> None:
    """Pack the user rows under `rows` for every epoch, to `out/epoch-N/bucket-M.arrow`.

    What a batch holds depends on the rows, the seed, the epoch and the cost budget alone, not on
    files, partitions or workers; `out` belongs to these. Does nothing where it is complete (a
    resumed run). Raises DataError where there are no rows.
    """
    filesystem, _ = arrow_place(rows)
    files = [arrow_place(path)[1] for path in files_in(rows, "*.parquet")]
    if not files:
        raise DataError(f"{rows}: no user rows; run jobs/build_rows.py first")
    out = absolute(out)
    if (out / COMPLETE).exists():
        return
    dataset = ray.data.read_parquet(files, filesystem=filesystem)
    count = sum(pq.read_metadata(file, filesystem=filesystem).num_rows for file in files)
    buckets = max(1, count // ROWS_PER_BUCKET)

    def place(batch: pa.Table) -> pa.Table:
        users = to_ids(batch["user"].combine_chunks(), "user").to_numpy()
        windows, last = batch["window_start"].to_numpy(), batch["visible_pairs"].to_numpy()
        parts = []
        for epoch in range(packing.epochs):
            seed = np.uint64(packing.seed) << np.uint64(32) | np.uint64(epoch)
            place = _mix(
                _mix(_mix(users.view(np.uint64) ^ seed) + windows.view(np.uint64))
                + last.view(np.uint64)
            )
            parts.append(
                batch.append_column(EPOCH, pa.array(np.full(len(batch), epoch)))
                .append_column(PLACE, pa.array(place))
                .append_column(BUCKET, pa.array((place % buckets).astype(np.int64)))
            )
        return pa.concat_tables(parts)

    def write(batch: pa.Table) -> pa.Table:
        keys = batch.group_by([EPOCH, BUCKET]).aggregate([])
        for epoch, bucket in zip(keys[EPOCH].to_pylist(), keys[BUCKET].to_pylist(), strict=True):
            mine = (batch[EPOCH].to_numpy() == epoch) & (batch[BUCKET].to_numpy() == bucket)
            picked = np.flatnonzero(mine)
            picked = picked[np.argsort(batch[PLACE].to_numpy()[picked], kind="stable")]
            users = batch.take(pa.array(picked)).drop_columns([EPOCH, BUCKET, PLACE])
            with writing_file(out / f"epoch-{epoch}" / f"bucket-{bucket:05d}.arrow") as file:
                _write_batches(users, packing, file)
        return keys

    packed = (
        dataset.map_batches(place, batch_size=None, batch_format="pyarrow")
        .repartition(min(buckets * packing.epochs, 64), keys=[EPOCH, BUCKET])
        .map_batches(write, batch_size=None, batch_format="pyarrow")
    )
    packed.set_name(f"batches of {out.parent.parent.name}")
    packed.materialize()
    write_whole(out / COMPLETE, "")


def _write_batches(users: pa.Table, packing: Packing, path: Path) -> None:
    batches = pack(row_costs(users, packing.pair_cost), packing.max_cost)
    structs = users.to_struct_array().combine_chunks()
    schema = pa.schema([(USERS, pa.list_(structs.type))])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for rows in batches:
            part = structs.slice(rows[0], len(rows))
            offsets = pa.array([0, len(rows)], pa.int32())
            writer.write_batch(
                pa.record_batch([pa.ListArray.from_arrays(offsets, part)], schema=schema)
            )


def _mix(x: np.ndarray) -> np.ndarray:
    # SplitMix64, as in embedding.hashing, which is torch.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
