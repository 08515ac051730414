"""A calibration on the device that a ranker is trained on."""

import ray
import torch

from rayrank.run.run import Run
from rayrank.run.terminal import say
from rayrank.schema import Schema
from rayrank.storage import absolute, place
from rayrank.train.calibrate import Calibration
from rayrank.train.calibrate import calibrate as measured
from rayrank.train.config import RankerConfig
from rayrank.train.resources import threads


def calibrate(run: Run, name: str) -> Calibration:
    """What a visible pair costs a ranker of the config, on a worker as training would have it.
    Says what to write into the config; changes nothing."""
    config, rows = run.config.rankers[name], run.rows()
    _, schema = run.open_log()
    gpus = 1 if config.train.use_gpu else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus)(_measured).options(name=f"calibrate {name}")
    found: Calibration = ray.get(task.remote(schema, config, str(absolute(rows))))
    say(
        f"{name}: train.pair_cost: {found.pair_cost:.3g} (by the model's FLOPs "
        f"{found.by_flops:.3g}); a token beside its pairs takes {found.token_us:.3g} us forward "
        f"and backward, and batches' times are {found.off_by:.1%} off what the two explain"
    )
    return found


def _measured(schema: Schema, config: RankerConfig, rows: str) -> Calibration:
    torch.set_num_threads(threads(config.train))
    device = torch.device("cuda" if config.train.use_gpu else "cpu")
    return measured(schema, config, place(rows), device)
