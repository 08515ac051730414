"""A day's model as a bundle, and its scores over HTTP before it is promoted."""

from datetime import date

import pyarrow as pa

from rayrank.data.times import end_ms, start_ms
from rayrank.errors import CheckError
from rayrank.evaluate.gate import Gate, TaskMeasure
from rayrank.infer.bundle import Manifest
from rayrank.run.promotion import read_check
from rayrank.run.run import Run
from rayrank.run.stages import REPLAYED_USERS, check_requests
from rayrank.schema import Schema
from rayrank.serve.replay import replay
from rayrank.storage import AnyPath
from rayrank.train.config import RankerConfig
from rayrank.train.export import export
from rayrank.versions import EXPORTED, name_version


def export_day(
    run: Run, name: str, config: RankerConfig, trained: AnyPath, held_out: dict[str, TaskMeasure]
) -> Manifest:
    """The bundle of a day's training, in the folder `trained`, with what it is worth on held-out
    users."""
    _, schema = run.open_log()
    manifest = export(
        run.folder.bundles,
        name=name,
        config=config,
        trained=trained,
        schema=schema,
        rows=run.rows(),
        metrics={task: found.metrics for task, found in held_out.items()},
    )
    name_version(run.folder.bundles, EXPORTED, manifest.version)
    return manifest


def check_day(run: Run, manifest: Manifest, day: str, scored: pa.Table) -> Gate:
    """Replay users of a day over HTTP, against the trainer's scores of them (`predict`'s table)."""
    checked = read_check(run, manifest.version)
    try:
        if checked is None:
            log, schema = run.open_log()
            asked = Schema.model_validate(manifest.schema_)
            users = scored["user"].combine_chunks().unique()[:REPLAYED_USERS]
            of_day, zone = date.fromisoformat(day), schema.timezone
            # What is asked for from the day's beginning on is made test there, which is replayed.
            requests = replay(log, schema, users, [start_ms(of_day, zone)] * 2, asked)
            end = end_ms(of_day, zone)
            requests = [request for request in requests if request["time_ms"] < end]
            checked = check_requests(run, manifest, schema, requests, scored)
        checked.demand()
    except CheckError as error:
        return Gate(name="consistency", passed=False, told=str(error))
    told = (
        f"{checked.candidates:,} served scores, {checked.max_abs_diff:.1e} from the trainer's at "
        f"most; {checked.bound:g} is allowed"
    )
    return Gate(name="consistency", passed=True, told=told)
