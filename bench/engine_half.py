"""What half precision changes of a run's scores: those of its bundle beside the trainer's."""

from typing import Any

import numpy as np
import pyarrow as pa
from rayrank.data.row_files import row_files
from rayrank.evaluate.candidates import candidate_table, in_order
from rayrank.evaluate.run import SCORES
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Engine
from rayrank.metrics import auc
from rayrank.run.folder import RunFolder
from rayrank.storage import read_parquet
from rayrank.versions import CURRENT, version_folder


def half(run_dir: str) -> dict[str, Any]:
    """The trainer's scores of a run's test rows beside those of its bundle in float16."""
    folder = RunFolder(run_dir)
    if not (folder.bundles / CURRENT).exists():
        print(f"half_diff_max: {run_dir} has no bundle; run make demo first")
        return {"half_diff_max": None}
    bundle = load_bundle(folder.bundles / CURRENT)
    made_from = bundle.manifest.made_from
    scores = version_folder(folder.evaluations / bundle.manifest.ranker, dict(made_from))
    trained = read_parquet(scores / SCORES)
    test = folder.rows / made_from["rows"].partition("+")[0] / "test"
    rows = pa.concat_tables([read_parquet(file) for file in row_files(test)])
    half_engine = Engine(bundle, precision="float16", cache_bytes=0)
    parts = [half_engine.submit(rows.slice(i, 64)) for i in range(0, len(rows), 64)]
    p_CK = np.concatenate([np.concatenate(part.result().scores) for part in parts])
    half_engine.close()
    scored = in_order(candidate_table(rows, bundle.schema, p_CK))
    result: dict[str, Any] = {"half_rows": len(rows)}
    apart = []
    for task, of in bundle.schema.tasks.items():
        ours, theirs = (table[f"p.{task}"].to_numpy() for table in (scored, trained))
        label = trained[f"label.{task}"].to_numpy()
        assert np.array_equal(label, scored[f"label.{task}"].to_numpy(), equal_nan=True)
        apart.append(float(np.abs(ours - theirs).max()))
        if of.kind == "binary":
            known = ~np.isnan(label)
            aucs = [auc(label[known], scores[known]) for scores in (theirs, ours)]
            result[f"half_auc_{task}"] = dict(zip(("float32", "float16"), aucs, strict=True))
    return {"half_diff_max": max(apart)} | result
