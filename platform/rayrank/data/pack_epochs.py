"""Packing on Ray Data: shuffle user rows by a hash of (seed, epoch, row), pack each partition."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

from rayrank.config.train import TrainConfig
from rayrank.data.ids import to_ids
from rayrank.data.packing import USERS, pack, row_costs
from rayrank.data.whole import whole_folder
from rayrank.errors import DataError

EPOCH, BUCKET, PLACE = "__epoch", "__bucket", "__place"
ROWS_PER_BUCKET = 4096


def pack_epochs(rows: Path, config: TrainConfig, out: Path) -> None:
    """Pack the user rows under `rows` for every epoch, to `out/epoch-N/bucket-M.arrow`.

    What a batch holds depends on the rows, the seed, the epoch and the cost budget alone, not on
    files, partitions or workers. Does nothing where `out` holds exactly this already (a resumed
    run). Raises DataError where there are no rows.
    """
    files = sorted(str(path) for path in rows.glob("*.parquet"))
    if not files:
        raise DataError(f"{rows}: no user rows; run jobs/build_rows.py first")
    made_from = _fingerprint(files, config)
    if (out / made_from).exists():
        return
    dataset = ray.data.read_parquet(files)
    count = sum(pq.read_metadata(file).num_rows for file in files)
    buckets = max(1, count // ROWS_PER_BUCKET)

    def place(batch: pa.Table) -> pa.Table:
        users = to_ids(batch["user"].combine_chunks(), "user").to_numpy()
        windows, last = batch["window_start"].to_numpy(), batch["visible_pairs"].to_numpy()
        parts = []
        for epoch in range(config.epochs):
            seed = np.uint64(config.seed) << np.uint64(32) | np.uint64(epoch)
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
            folder = writing / f"epoch-{epoch}"
            folder.mkdir(parents=True, exist_ok=True)
            _write_batches(users, config, folder / f"bucket-{bucket:05d}.arrow")
        return keys

    with whole_folder(out) as writing:
        (
            dataset.map_batches(place, batch_size=None, batch_format="pyarrow")
            .repartition(min(buckets * config.epochs, 64), keys=[EPOCH, BUCKET])
            .map_batches(write, batch_size=None, batch_format="pyarrow")
            .materialize()
        )
        (writing / made_from).touch()


def _write_batches(users: pa.Table, config: TrainConfig, path: Path) -> None:
    batches = pack(row_costs(users, config.pair_cost), config.max_cost)
    structs = users.to_struct_array().combine_chunks()
    schema = pa.schema([(USERS, pa.list_(structs.type))])
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for rows in batches:
            part = structs.slice(rows[0], len(rows))
            offsets = pa.array([0, len(rows)], pa.int32())
            writer.write_batch(
                pa.record_batch([pa.ListArray.from_arrays(offsets, part)], schema=schema)
            )


def _fingerprint(files: list[str], config: TrainConfig) -> str:
    facts = [(f, Path(f).stat().st_size, Path(f).stat().st_mtime_ns) for f in files]
    facts_of_config = (config.seed, config.epochs, config.max_cost, config.pair_cost)
    digest = hashlib.sha256(repr((facts, facts_of_config)).encode()).hexdigest()
    return f"made-from-{digest[:16]}"


def _mix(x: np.ndarray) -> np.ndarray:
    # SplitMix64, as in embedding.hashing, which is torch.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
