"""A simulated log that grows by a day at a time, in which a day's labels may be damaged."""

import shutil
import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rayrank.data.config import SimulateConfig
from rayrank.data.simulate import simulate
from rayrank.data.simulate_traffic import DAY_MS, FIRST_DAY_MS

BY_DAY = ("exposures", "events")


def write_log(out: Path, told: SimulateConfig, damaged: Collection[int] = ()) -> None:
    """The log, a file for each day in `exposures` and `events`. damaged: the numbers of days, from
    1, on which clicks are dealt to exposures at random."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rayrank-daily-") as folder:
        whole = Path(folder) / "log"
        simulate(told, whole)
        for name in BY_DAY:
            table = pq.read_table(whole / f"{name}.parquet")
            day = (table["time_ms"].to_numpy() - FIRST_DAY_MS) // DAY_MS
            (out / name).mkdir(parents=True)
            for number in range(1, told.days + 1):
                mine = table.filter(pa.array(day == number - 1))
                if name == "exposures" and number in damaged:
                    mine = shuffled(mine, seed=number)
                pq.write_table(mine, out / name / f"day-{number}.parquet")
        for name in ("items.parquet", "users.parquet", "schema.yaml"):  # the schema last
            shutil.copy(whole / name, out / name)


def shuffled(exposures: pa.Table, seed: int) -> pa.Table:
    """The same exposures with their clicks dealt anew."""
    clicks = np.random.default_rng(seed).permutation(exposures["click"].to_numpy())
    place = exposures.column_names.index("click")
    return exposures.set_column(place, "click", pa.array(clicks))
