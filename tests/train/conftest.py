"""What tests of training share: a world of two ranks that has run every case."""

from pathlib import Path

import pytest
from rayrank.train.config import RankerConfig

from .worlds import STEPS, Case, at_start, mean_loss, ranker_config, run_world

ALL = [(number, 0.0) for number in range(len(STEPS))]
BOTH = ["replicated", "sharded"]


def eight_times(config: RankerConfig) -> Case:
    """The first step."""
    return Case(config, steps=[(0, 0.0)] * 8, dealt=[[[of] for of in STEPS[0]]] * 8)


@pytest.fixture(scope="session")
def cases() -> dict[str, Case]:
    first = [user for users in STEPS[0] for user in users]
    norm = mean_loss(at_start(ranker_config()).double(), first).norm()
    return {
        "plain": Case(ranker_config(), steps=ALL),
        "over": Case(ranker_config(clip_norm=0.5 * norm)),
        "under": Case(ranker_config(clip_norm=1.01 * norm)),
        "scheduled": Case(
            ranker_config(warmup_steps=3, final_rate=0.2, weight_decay=0.5),
            steps=[(1, 0.5)],
            rates=[(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.0), (9, 0.5), (9, 1.0), (1, 0.5)],
        ),
        "float16": eight_times(ranker_config(precision="float16")),
        "sharded, float16": eight_times(ranker_config(precision="float16", dense="sharded")),
        # Two layers: each is gathered by itself.
        "two layers": Case(ranker_config(layers=2), ALL, taken_over_by=BOTH),
        "sharded": Case(ranker_config(layers=2, dense="sharded"), ALL, taken_over_by=BOTH),
        "sharded, recomputed": Case(ranker_config(layers=2, dense="sharded", recompute=True), ALL),
        "sharded, over": Case(ranker_config(dense="sharded", clip_norm=0.5 * norm)),
        "bfloat16": Case(ranker_config(layers=2, precision="bfloat16"), ALL),
        "sharded, bfloat16": Case(
            ranker_config(layers=2, dense="sharded", precision="bfloat16", recompute=True), ALL
        ),
        # No step: batches of other sizes would part the ranks' random states anyway.
        "dropout": Case(ranker_config(dropout=0.5), steps=[]),
    }


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, cases: dict[str, Case]) -> Path:
    """Where two ranks have left what they saw of every case."""
    folder = tmp_path_factory.mktemp("world")
    run_world(folder, cases)
    return folder
