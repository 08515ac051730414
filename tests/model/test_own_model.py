"""The model of examples/own_model.py: named by a config, trained, bundled, and served elsewhere.

It lies in a folder of its own, as a user's does, and runs where neither Ray nor TorchRec is.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rayrank.errors import BundleError
from rayrank.infer.bundle import load_bundle
from rayrank.run.config import load_config

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "own_model.py"

START = """
import json, sys
for name in ("ray", "torchrec", "fbgemm_gpu"):
    sys.modules[name] = None  # as if it were not installed
from pathlib import Path
import torch
from rows import *
torch.set_num_threads(1)
out = Path(sys.argv[1])
seeds = iter(range(10_000))
users = [
    User(
        features(SCHEMA, "profile", next(seeds)),
        [behaviour(-m, next(seeds)) for m in range(n, 0, -1)],
        [behaviour(1, next(seeds))],
        [candidate(2, next(seeds)) for _ in range(3)],
    )
    for n in range(5)
]
"""

TRAIN = """
from rayrank.run.config import load_config
from rayrank.embedding.tables import LocalTables
from rayrank.infer.bundle import write_bundle
from rayrank.infer.drift import reference_of
from rayrank.model.build import build_model

config = load_config(out / "mine.yaml", []).rankers["mine"].model
torch.manual_seed(0)
tables = LocalTables(SCHEMA.tables, init_std=config.embedding_std, seed=3)
model = build_model(SCHEMA, config, tables, SCALES)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
batches = [jagged(users), jagged(users[:1]), jagged([])]
losses = []
for step in range(60):
    batch = batches[step % 3]
    loss = model.loss(model(batch), batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
model.eval()
reference = reference_of(SCHEMA, "train", table(users), [])
write_bundle(
    out / "bundles", ranker="mine", schema=SCHEMA, model=config, seed=3,
    id_types={}, ranges={}, reference=reference, metrics={}, made_from={}, trained_steps=60,
    dense=model.dense_state(), rows={name: tables.rows(name) for name in SCHEMA.tables},
)
scores = model.predictions(model(jagged(users)))
print(json.dumps({"losses": losses, "scores": scores.tolist()}))
"""

SERVE = """
from rayrank.infer.bundle import load_bundle
from rayrank.infer.engine import Engine

assert not any(name.startswith("two_tower") for name in sys.modules)
(version,) = (out / "bundles").iterdir()
engine = Engine(load_bundle(version))
scores = engine.submit(table(users)).result().scores
print(json.dumps({"scores": [row for part in scores for row in part.tolist()]}))
"""


def run(script: str, out: Path, path: Path) -> dict[str, list[float]]:
    """What a process prints that finds the model's module in the folder `path`."""
    inherited = os.environ.get("PYTHONPATH", "")
    done = subprocess.run(
        [sys.executable, "-c", START + script, str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{inherited}"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_example_is_configured_trained_bundled_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, out = tmp_path / "theirs", tmp_path / "out"
    theirs.mkdir()
    out.mkdir()
    shutil.copy(EXAMPLE, theirs / "two_tower.py")
    config = EXAMPLE.with_suffix(".yaml").read_text()
    (out / "mine.yaml").write_text(config.replace("examples.own_model", "two_tower"))

    trained = run(TRAIN, out, theirs)
    losses = trained["losses"][::3]  # of the largest batch
    assert losses[-1] < 0.5 * losses[0]
    served = run(SERVE, out, theirs)
    np.testing.assert_allclose(served["scores"], trained["scores"], atol=0.006)

    (version,) = (out / "bundles").iterdir()
    refused = "manifest.json: kind: cannot import two_tower of 'two_tower:TwoTower'.*: every"
    with pytest.raises(BundleError, match=refused):
        load_bundle(version)
    monkeypatch.syspath_prepend(theirs)
    assert load_bundle(version).manifest.model["width"] == 16
    rankers = load_config(out / "mine.yaml", []).rankers
    assert list(rankers) == ["mine", "dlrm"]
