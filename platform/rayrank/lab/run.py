"""The whole lab: every log, and what was found, as tables and a page."""

import json
from collections.abc import Callable, Mapping

import numpy as np
import ray

from rayrank.lab.compare import Seeds, apart, difference, lines, ranking_keys
from rayrank.lab.config import Changes, LabConfig
from rayrank.lab.cost import Size, size_of, speed_of
from rayrank.lab.folder import LabFolder
from rayrank.lab.log import (
    ORACLE,
    Grounds,
    baselines,
    choose,
    chosen,
    first_cell,
    grounds,
    measure_all,
    variants,
)
from rayrank.lab.page import write_page
from rayrank.lab.power_law import fit_with_band
from rayrank.lab.results import CostLine, Curve, FitLine, Found, SizeLine, TrialLine
from rayrank.lab.tuning import Trial
from rayrank.metrics.over_seeds import over_seeds
from rayrank.storage import write_whole
from rayrank.train.config import RankerConfig


def lab(config: LabConfig, say: Callable[[str], None]) -> Found:
    """Everything, log after log; writes the tables and the page, whole, at the end of each. What
    is trained already is not trained again."""
    found = Found(config.subject, [], [], [], [], [], [], [])
    folder = LabFolder(config.run_dir)
    for name in config.logs:
        _one_log(name, config, found, say)
        for table, content in found.tables().items():
            write_whole(folder.table(table), content)
        write_page(found, folder)
        say(f"{name}: done; {folder.report}")
    return found


def _one_log(name: str, config: LabConfig, found: Found, say: Callable[[str], None]) -> None:
    of, subject = config.logs[name], config.subject
    ground = grounds(name, of, config)
    trials = choose(name, config, ground.trials, say)
    found.trials.extend(_trial_lines(name, trials))
    models = chosen(name, config, trials)

    def made(what: str, changes: Mapping[str, Changes]) -> dict[str, Seeds]:
        rankers = {n: (subject, c) for n, c in variants(models[subject], changes).items()}
        told = f"{name}: {what}"
        return dict(measure_all(told, rankers, ground.tables, config.changes_seeds, say))

    rankers = {model: (model, of) for model, of in models.items()}
    measured = dict[str, Seeds](
        measure_all(f"{name}: models", rankers, ground.tables, config.seeds, say)
    )
    simulated = of.data.source == "simulate"
    beside = dict[str, Seeds](baselines(ground.tables, ground.log, simulated))
    found.quality.extend(lines(name, measured | beside, measured[subject]))
    paired = {model: seeds[: config.changes_seeds] for model, seeds in measured.items()}
    found.ablation.extend(lines(name, made("ablations", of.ablations | of.losses), paired[subject]))
    if of.scaling is not None:
        families = of.scaling.families
        every = {size: changes for sizes in families.values() for size, changes in sizes.items()}
        sizes = made("sizes", every)
        changed = variants(models[subject], every)
        costs = _sizes({size: (subject, ranker) for size, ranker in changed.items()}, ground)
        against = paired[of.scaling.against]
        for family, members in families.items():
            of_family = {size: sizes[size] for size in members}
            best = beside[ORACLE] if simulated else None
            _scaling(found, name, family, of.scaling.against, of_family, costs, against, best)
    counted = _sizes(rankers, ground)
    for model, ranker in models.items():
        say(f"{name}: {model}: timed alone")
        speed = speed_of(first_cell(model, ranker), ground.tables)
        found.costs.append(CostLine(name, model, *counted[model], *speed))


def _sizes(rankers: Mapping[str, tuple[str, RankerConfig]], ground: Grounds) -> dict[str, Size]:
    """As `measure_all`'s, trained."""
    counting = {
        name: _count.remote(first_cell(model, ranker), ground.tables)
        for name, (model, ranker) in rankers.items()
    }
    return {name: ray.get(size) for name, size in counting.items()}


_count = ray.remote(num_cpus=1)(size_of)


def _scaling(
    found: Found,
    data: str,
    family: str,
    against: str,
    sizes: Mapping[str, Seeds],
    costs: Mapping[str, Size],
    reference: Seeds,
    best: Seeds | None,
) -> None:
    """Lines, law and curve of one family."""
    for key in ranking_keys(reference):
        task, _, metric = key
        gains_MSN = np.stack([apart(of, reference, key) for of in sizes.values()])
        gains = [over_seeds(gains_SN) for gains_SN in gains_MSN]
        for (size, of), gain in zip(sizes.items(), gains, strict=True):
            values = [one.points[key] for one in of]
            cost = costs[size]
            found.scaling.append(
                SizeLine(
                    data, family, size,
                    cost.flops_per_row, cost.dense_parameters, cost.sparse_parameters,
                    task, metric, float(np.mean(values)), float(np.std(values, ddof=1)),
                    len(values), gain.value, gain.low, gain.high,
                )
            )  # fmt: skip
        flops = np.array([costs[size].flops_per_row for size in sizes])
        band = fit_with_band(flops, gains_MSN)
        law = band.law
        found.fits.append(
            FitLine(
                data, family, task, against,
                law.a, law.exponent, band.exponent_low, band.exponent_high,
            )
        )  # fmt: skip
        most = None if best is None else difference(best, reference, key).value
        found.curves.append(
            Curve(data, family, task, against, list(sizes), flops.tolist(), gains, band, most)
        )


def _trial_lines(data: str, trials: Mapping[str, list[Trial]]) -> list[TrialLine]:
    return [
        TrialLine(data, model, json.dumps(trial.changes), trial.worth, number == 0)
        for model, of in trials.items()
        for number, trial in enumerate(of)
    ]
