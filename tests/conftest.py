"""What tests of several folders share."""

import uuid
from collections.abc import Iterator

import pytest
import ray
import s3fs

from .clusters import API_KEY, KEY_VARIABLE, QUICK_TRAIN
from .s3 import s3_server


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray of two CPUs, for every test that asks. What runs on it finds the API key."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {KEY_VARIABLE: API_KEY, **QUICK_TRAIN}.items():
            environment.setenv(name, value)
        ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def s3() -> Iterator[None]:
    """One S3 server, for every test that asks."""
    with s3_server():
        yield


@pytest.fixture(scope="module")
def s3_bucket(s3: None) -> str:
    """The URI of a new bucket."""
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs no cluster comes first: most faults then show within seconds."""
    items.sort(key=lambda item: "ray_cluster" in getattr(item, "fixturenames", ()))
