"""A model learns in a loop of ten lines, with neither Ray nor TorchRec on the machine."""

import math
import subprocess
import sys
from pathlib import Path

LOOP = """
import random, sys
for name in ("ray", "torchrec", "fbgemm_gpu"):
    sys.modules[name] = None  # as if it were not installed
import torch
from rows import *
from rayrank.embedding.tables import LocalTables
from rayrank.model.build import build_model
from rayrank.model.dlrm import DLRMConfig
from rayrank.model.mtgr import MTGRConfig

torch.set_num_threads(1)
torch.manual_seed(0)
draw = random.Random(0)

def user():
    liked = draw.randrange(2)
    past = [behaviour(-m, draw.randrange(10_000)) | {"item_id": 2 * draw.randrange(5) + liked}
            for m in range(4, 0, -1)]
    shown = [candidate(1, draw.randrange(10_000)) | {"item_id": draw.randrange(10)}
             for _ in range(8)]
    for one in shown:  # the rule: those who looked at odd items click odd ones, nobody else does
        one["label.click"] = float(liked and one["item_id"] % 2)
        one["label.order"] = one["label.click"] * (one["item_id"] < 4)
    return User(features(SCHEMA, "profile", draw.randrange(100)), static=past, candidates=shown)

batches = [jagged([user() for _ in range(16)]) for _ in range(30)]

def loss_after_training(config):
    # Ten lines.
    tables = LocalTables(SCHEMA.tables, init_std=0.1, seed=0)
    model = build_model(SCHEMA, config, tables, scales={})
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(4):
        for batch in batches[:-5]:
            loss = model.loss(model(batch), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.inference_mode():
        losses = [model.loss_sums(model(batch), batch).sum().item() for batch in batches[-5:]]
    return sum(losses) / sum(batch.candidates for batch in batches[-5:])

print(*map(loss_after_training, (MTGRConfig(), DLRMConfig())))
"""


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_a_planted_rule_is_learned() -> None:
    """By MTGR, and by a DLRM."""
    done = subprocess.run(
        [sys.executable, "-c", LOOP],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    losses = [float(loss) for loss in done.stdout.split()]
    assert len(losses) == 2
    assert max(losses) < 0.25 * (entropy(1 / 4) + entropy(1 / 10))
