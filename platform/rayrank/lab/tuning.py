"""Every model's settings, chosen on validation days by the same number of trials (Ray Tune)."""

import json
import math
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import ray
from ray import tune
from ray.tune.search.basic_variant import BasicVariantGenerator

from rayrank.errors import TrainingError
from rayrank.lab.cell import Cell, Ground, make_one
from rayrank.lab.config import Changes, Search, changed, tree_of
from rayrank.lab.measure import measure_file, worth
from rayrank.storage import AnyPath, absolute, arrow_place
from rayrank.train.config import RankerConfig

WORTH = "worth"
# What Tune prints in its newer form cannot be turned off (ray 2.60).
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")


class Trial(NamedTuple):
    """Settings that were tried, and what they were worth on validation days (`measure.worth`)."""

    changes: Changes
    worth: float
    """Minus infinity where training failed."""
    fault: str


def tune_model(
    model: str,
    config: RankerConfig,
    search: Search,
    ground: Ground,
    folder: AnyPath,
    *,
    trials: int,
    say: Callable[[str], None],
) -> list[Trial]:
    """So many trials (`draw_settings`), the best first. What was tried before costs nothing again.
    Raises TrainingError where none ends."""

    def one(drawn: dict[str, Any]) -> dict[str, Any]:
        # A trial's own process is thin; what is heavy runs in tasks, whose processes are kept.
        changes = {key: json.loads(value) for key, value in drawn.items()}
        made = ray.get(make_one.remote(Cell(model, changed(config, changes)), ground))
        if made.scores is None:
            return {WORTH: float("-inf"), "fault": str(made.fault)}
        # Without a CPU: one that is free goes to the next trial's training.
        measuring = measure_file.options(num_cpus=0).remote(made.scores, ground.schema, 0)
        points = ray.get(measuring).points
        return {WORTH: worth(points, ground.schema), "fault": ""}

    drawn = [as_json(changes) for changes in draw_settings(config, search, trials)]
    if len(drawn) < trials:
        say(f"{model}: {len(drawn)} trials, for there are no more settings than that")
    filesystem, path = arrow_place(absolute(folder))
    results = tune.Tuner(
        # Ray refuses one that asks for nothing at all.
        tune.with_resources(one, {"memory": 1}),
        # What Tune would draw, had it more to draw than it is given.
        param_space={key: tune.choice([value]) for key, value in drawn[0].items()},
        tune_config=tune.TuneConfig(
            num_samples=len(drawn),
            metric=WORTH,
            mode="max",
            search_alg=BasicVariantGenerator(
                points_to_evaluate=drawn,
                max_concurrent=int(ray.cluster_resources()["CPU"]),
            ),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=model, storage_path=path, storage_filesystem=filesystem, verbose=0
        ),
    ).fit()
    found = []
    for result in results:
        if result.error is not None:
            raise result.error
        changes = {key: json.loads(value) for key, value in result.config.items()}
        found.append(Trial(changes, result.metrics[WORTH], result.metrics["fault"]))
        if found[-1].fault:
            say(f"{model}: a trial of {changes} failed: {found[-1].fault}")
    found.sort(key=lambda trial: -trial.worth)  # stable: of equals the one drawn first
    if found[0].fault:
        raise TrainingError(f"{model}: no trial ended: {found[0].fault}")
    return found


def draw_settings(config: RankerConfig, search: Search, trials: int) -> list[Changes]:
    """So many settings, no two alike: as they are, then drawn with seed 0; all there are, where
    these are fewer. (Alike they would be one trial, and a model of few settings had others.)"""
    generator, keys = np.random.default_rng(0), list(search)
    settings = {json.dumps(first): first for first in [_as_they_are(config, search)]}
    every = math.prod(len(values) for values in search.values())
    for number in generator.permutation(every):
        if len(settings) == trials:
            break
        places = np.unravel_index(number, [len(search[key]) for key in keys]) if keys else ()
        drawn = {key: search[key][int(at)] for key, at in zip(keys, places, strict=True)}
        settings.setdefault(json.dumps(drawn), drawn)
    return list(settings.values())


def as_json(changes: Changes) -> dict[str, str]:
    """That Tune takes values for values: lists and mappings (`view.losses`) too."""
    return {key: json.dumps(value) for key, value in changes.items()}


def _as_they_are(config: RankerConfig, search: Search) -> Changes:
    """What the settings are, of all that is varied."""
    values = {}
    for dotted in search:
        section: Any = tree_of(config)
        for key in dotted.split("."):
            section = section[key]
        values[dotted] = section
    return values
