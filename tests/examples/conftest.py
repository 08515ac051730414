"""One small run of examples/own_model.yaml, for every example that reads one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import rayrank
from rayrank import stages
from rayrank.versions import CURRENT, name_version

ROOT = Path(__file__).parents[2]
SMALL = [
    "data.simulate={users: 80, days: 4}",
    "data.partitions=1",
    "rankers={mine: {model: {kind: 'examples.own_model:TwoTower', width: 16, embedding_std: 1.0},"
    " train: {workers: 1, max_cost: 1024, epochs: 2}}}",
    "evaluate={workers: 1, bootstrap_samples: 5, lightgbm_trees: 5}",
]


@pytest.fixture(scope="module")
def own_model(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[rayrank.Run]:
    """The run, while its model can be imported: from the repository's root, as workers do, whose
    path holds the folder in which Ray was started."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(ROOT)
        told = [*SMALL, f"run_dir={tmp_path_factory.mktemp('own-model') / 'run'}"]
        run = rayrank.Run(rayrank.load_config(ROOT / "examples" / "own_model.yaml", told))
        stages.build(run)
        stages.train(run, run.config.rankers)
        stages.evaluate(run)
        # Promoted without the check over HTTP, which the run of own_data.py has.
        name_version(run.folder.bundles, CURRENT, stages.export(run, "mine").version)
        yield run
