"""What tests of several folders share."""

from collections.abc import Iterator

import pytest
import ray

from .clusters import API_KEY, KEY_VARIABLE


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray of two CPUs, for every test that asks. What runs on it finds the API key."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(KEY_VARIABLE, API_KEY)
        ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()
