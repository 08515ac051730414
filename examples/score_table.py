"""Scoring a table with a bundle: no server, no cluster, pandas or Arrow.

    make demo
    python examples/score_table.py [RUN_DIR]

The table here is of a run's last exposures, for which the trainer's scores are known: they agree.
"""

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import rayrank
from rayrank.versions import version_folder


def main(run_dir: str) -> None:
    bundle = rayrank.load_bundle(f"{run_dir}/bundles/current")
    run = rayrank.Run(rayrank.load_config(f"{run_dir}/config.yaml"))
    log, _ = run.open_log()
    exposures, users, items, events = (
        pd.read_parquet(f"{log.root}/{name}.parquet")
        for name in ("exposures", "users", "items", "events")
    )

    # What the trainer found of a hundred users.
    made_from = dict(bundle.manifest.made_from)
    scores = version_folder(run.folder.evaluations / bundle.manifest.ranker, made_from)
    trained = pd.read_parquet(f"{scores}/scores.parquet")
    trained = trained[trained["user"].isin(trained["user"].unique()[:100])]

    # The same exposures as a table without outcomes, and what those users did before.
    shown = exposures[exposures["time_ms"] >= trained["time"].min()]
    shown = shown[shown["user_id"].isin(trained["user"])]
    candidates = shown.drop(columns=["click", "p_click", "p_order"])
    did = {"clicks": exposures[exposures["click"] == 1], "orders": events}

    scored = rayrank.score(bundle, candidates, sequences=did, users=users, items=items)
    print(scored[["user_id", "item_id", "p.click", "p.order"]].head().to_string())

    as_arrow = rayrank.score(
        bundle, pa.Table.from_pandas(candidates), sequences=did, users=users, items=items
    )
    print(f"as Arrow: {as_arrow.num_rows:,} lines, {as_arrow.column_names[-2:]}")

    ordered = scored.sort_values(["user_id", "time_ms", "item_id"])
    for task in bundle.schema.tasks:
        difference = np.abs(ordered[f"p.{task}"].to_numpy() - trained[f"p.{task}"].to_numpy())
        print(f"{task}: {len(difference):,} scores, at most {difference.max():.0e} apart")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/demo")
