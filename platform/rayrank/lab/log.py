"""One log of the lab, from its rows to what is measured on them."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import pyarrow as pa
import ray

from rayrank.data.config import SplitConfig
from rayrank.data.log import Log
from rayrank.errors import TrainingError
from rayrank.evaluate.baselines import (
    Scores,
    gradient_boosting,
    item_rate,
    oracle,
    read_candidates,
)
from rayrank.evaluate.candidates import in_order
from rayrank.lab.cell import Cell, Ground, make, seeded
from rayrank.lab.config import Changes, LabConfig, LogConfig, changed
from rayrank.lab.folder import LabFolder
from rayrank.lab.measure import Measured, measure_file, measured
from rayrank.lab.tuning import Trial, tune_model
from rayrank.run.config import RunConfig
from rayrank.run.run import Run
from rayrank.run.stages import build
from rayrank.storage import place
from rayrank.train.config import RankerConfig

ORACLE = "oracle"


class Grounds(NamedTuple):
    """The rows of one log, cut twice."""

    trials: Ground
    """Trained on what was before the validation days, scored on these."""
    tables: Ground
    """Trained on both, scored on the test days."""
    log: Log


def grounds(name: str, of: LogConfig, config: LabConfig) -> Grounds:
    """Build the log and its rows, unless they are there."""
    folder = LabFolder(config.run_dir).log(name)

    def ground(split: str, split_config: SplitConfig) -> tuple[Ground, Log]:
        data = of.data.model_copy(update={"split": split_config})
        run = Run(RunConfig(run_dir=str(folder), data=data, rankers=config.models), new=True)
        build(run)
        log, schema = run.open_log()
        rows = str(run.rows())  # before another build is the current one
        return Ground(str(run.folder), rows, split, schema, config.evaluate), log

    trials, _ = ground("valid", of.data.split)
    tables, log = ground("test", of.data.split.model_copy(update={"valid": 0.0}))
    return Grounds(trials, tables, log)


def choose(
    name: str, config: LabConfig, ground: Ground, say: Callable[[str], None]
) -> dict[str, list[Trial]]:
    """Every model's trials on a log, the best first."""
    found = {}
    for model, of in config.models.items():
        found[model] = tune_model(
            model,
            changed(of, config.logs[name].base),
            config.search_on(name),
            ground,
            LabFolder(config.run_dir).trials(name),
            trials=config.trials_on(name),
            say=say,
        )
        best = found[model][0]
        say(f"{name}: {model}: {len(found[model])} trials, the best {best.worth:.4f}")
    return found


def chosen(
    name: str, config: LabConfig, trials: Mapping[str, list[Trial]]
) -> dict[str, RankerConfig]:
    """The settings of every model's best trial."""
    base = config.logs[name].base
    return {
        model: changed(of, base | trials[model][0].changes) for model, of in config.models.items()
    }


def variants(config: RankerConfig, changes: Mapping[str, Changes]) -> dict[str, RankerConfig]:
    """The subject, changed in each way."""
    return {name: changed(config, of) for name, of in changes.items()}


def measure_all(
    what: str,
    rankers: Mapping[str, tuple[str, RankerConfig]],
    ground: Ground,
    seeds: int,
    say: Callable[[str], None],
) -> dict[str, list[Measured]]:
    """Train, score and measure each from every seed. rankers: name -> the model among whose
    versions it lies, and its config. Raises TrainingError, naming the ranker, once all others are
    made."""
    cells = {name: seeded(model, config, range(seeds)) for name, (model, config) in rankers.items()}
    every = [cell for of in cells.values() for cell in of]
    names = {cell.trained_in(ground): name for name, of in cells.items() for cell in of}
    faults = []
    for done, made in enumerate(make(every, ground), start=1):
        who = f"{names[made.cell.trained_in(ground)]}, seed {made.cell.config.train.seed}"
        for told in made.told:
            say(f"{what}: {who}: {told}")
        if made.fault is not None:
            faults.append(f"{who}: {made.fault}")
        say(f"{what}: {done} of {len(names)} made ({who})")
    if faults:
        raise TrainingError("\n".join(f"{what}: {fault}" for fault in faults))
    samples = ground.settings.bootstrap_samples
    running = {
        name: [measure_file.remote(cell.scored_in(ground), ground.schema, samples) for cell in of]
        for name, of in cells.items()
    }
    return {name: ray.get(of) for name, of in running.items()}


def baselines(ground: Ground, log: Log, simulated: bool) -> dict[str, list[Measured]]:
    """What one has without a ranker: trees, a running rate, and the truth of a simulated log."""
    rows, schema = place(ground.rows), ground.schema
    test = read_candidates(rows, ground.split, schema)
    found: dict[str, Scores | None] = {
        "lightgbm": gradient_boosting(rows, schema, ground.settings.lightgbm_trees),
        "item_rate": item_rate(rows, schema),
        ORACLE: oracle(log, schema, test) if simulated else None,
    }
    samples = ground.settings.bootstrap_samples
    return {
        name: [measured(_scored(test, scores), schema, samples)]
        for name, scores in found.items()
        if scores is not None
    }


def _scored(test: pa.Table, scores: Scores) -> pa.Table:
    for task, values in scores.items():
        test = test.append_column(f"p.{task}", pa.array(values))
    return in_order(test)


def first_cell(model: str, config: RankerConfig) -> Cell:
    """The one by which sizes and speeds are told."""
    return seeded(model, config, range(1))[0]
