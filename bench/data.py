"""Building user rows and planning two epochs, against Polars grouping the same log in one process.

    python -m bench.data [--exposures 1000000 3000000 10000000] [--out runs/bench/data.json]

Each size is measured in one run: Polars in a process of its own, then rows and plan on a Ray that
stands already, as it does for whoever builds every day. `peak` of Ray is all its processes'
memory together, shared pages counted once.
"""

import argparse
import json
import logging
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import ray
from rayrank.data.build import build, build_days
from rayrank.data.config import DataConfig
from rayrank.data.log import Log
from rayrank.data.plan import Packing, plan_epochs
from rayrank.schema import load_schema

from bench.data_log import write_bench_log

PACKING = Packing(seed=0, epochs=2, max_cost=16_384, pair_cost=0)
ONE_M = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exposures", type=int, nargs="+", default=[ONE_M, 3 * ONE_M, 10 * ONE_M])
    parser.add_argument("--out", type=Path, default=Path("runs/bench/data.json"))
    told = parser.parse_args()
    ray.init(logging_level=logging.WARNING)
    _warm_up()
    sizes = {}
    for exposures in told.exposures:
        with tempfile.TemporaryDirectory(prefix="bench-data-") as folder:
            sizes[exposures] = measure(Path(folder), exposures)
            print(json.dumps({exposures: sizes[exposures]}, indent=1), flush=True)
    result: dict[str, Any] = {"sizes": sizes, "machine": platform.processor(), "cpus": _cpus()}
    for exposures, found in sizes.items():
        result[f"rows_over_polars_{exposures // ONE_M}m"] = found["rows_and_plan_over_polars"]
    largest = sizes[max(sizes)]
    result |= {key: largest[key] for key in ("plan_bytes_share", "plan_time_share")}
    result["day_over_full"] = largest["day_over_full"]
    if {3 * ONE_M, 10 * ONE_M} <= sizes.keys():
        seconds = [sizes[n]["rows_seconds"] + sizes[n]["plan_seconds"] for n in sizes]
        by_size = dict(zip(sizes, seconds, strict=True))
        result["growth"] = by_size[10 * ONE_M] / by_size[3 * ONE_M] / (10 / 3)
    told.out.parent.mkdir(parents=True, exist_ok=True)
    told.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def measure(folder: Path, exposures: int) -> dict[str, float]:
    """Seconds, bytes and ratios of a log of one size."""
    write_bench_log(folder / "log", exposures)
    command = [sys.executable, "-m", "bench.data_polars", f"{folder}/log", f"{folder}/polars"]
    polars = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    log, schema = Log(str(folder / "log")), load_schema(folder / "log" / "schema.yaml")
    config = DataConfig.model_validate({"source": "parquet", "path": str(folder / "log")})
    rows = folder / "rows"
    with _Peak() as peak:
        begun = time.perf_counter()
        stats = build(log, schema, rows, config, lambda done, of: None)
        built = time.perf_counter()
        plan_epochs(rows / "train", PACKING, folder / "plan")
        planned = time.perf_counter()
    rows_seconds, plan_seconds = built - begun, planned - built
    rows_bytes = _bytes(rows)
    by_day = config.model_copy(update={"split": config.split.model_copy(update={"test": 0.0})})

    def days(wanted: str) -> float:
        begun = time.perf_counter()
        build_days(log, schema, folder / "days", by_day, wanted, lambda done, of: None)
        return time.perf_counter() - begun

    before = days("2026-10-01..2026-10-29")
    day = days("2026-10-30")
    return {
        "exposures": stats.exposures,
        "user_rows": stats.rows,
        "tokens": stats.tokens,
        "polars_seconds": polars["seconds"],
        "polars_peak_gib": polars["peak_bytes"] / 2**30,
        "rows_seconds": rows_seconds,
        "plan_seconds": plan_seconds,
        "ray_peak_gib": peak.bytes / 2**30,
        "rows_bytes": rows_bytes,
        "rows_over_polars": rows_seconds / polars["seconds"],
        "rows_and_plan_over_polars": (rows_seconds + plan_seconds) / polars["seconds"],
        "plan_bytes_share": _bytes(folder / "plan") / rows_bytes,
        "plan_time_share": plan_seconds / rows_seconds,
        "days_before_seconds": before,
        "day_seconds": day,
        "day_over_full": day / rows_seconds,
    }


def _warm_up() -> None:
    """Workers that have started and imported what they need."""
    with tempfile.TemporaryDirectory() as folder:
        write_bench_log(Path(folder) / "log", 3000)
        log = Log(f"{folder}/log")
        config = DataConfig.model_validate({"source": "parquet", "path": log.root})
        schema = load_schema(f"{log.root}/schema.yaml")
        build(log, schema, Path(folder) / "rows", config, lambda done, of: None)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _cpus() -> int:
    return int(ray.cluster_resources()["CPU"])


class _Peak:
    """The most memory that Ray's processes and this one took together."""

    bytes = 0

    def __enter__(self) -> "_Peak":
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            self.bytes = max(self.bytes, sum(_proportional(pid) for pid in _of_ray()))


def _of_ray() -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if b"ray::" in command or b"/ray/" in command or process.name == str(_self()):
            found.append(process)
    return found


def _self() -> int:
    return int(Path("/proc/self").resolve().name)


def _proportional(process: Path) -> int:
    """Its memory, shared pages in equal parts."""
    try:
        for line in (process / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


if __name__ == "__main__":
    main()
