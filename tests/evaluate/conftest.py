"""What tests of evaluation share: a run that was evaluated once."""

import pytest

from .runs import Evaluated, evaluate_small


@pytest.fixture(scope="session")
def evaluated(ray_cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    return evaluate_small(tmp_path_factory.mktemp("evaluated"))
