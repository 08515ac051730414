"""What tests of several folders share."""

import uuid
from collections.abc import Iterator

import pytest
import ray
import s3fs
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from .clusters import API_KEY, KEY_VARIABLE, QUICK_TRAIN
from .effort import examples
from .s3 import s3_server

TOGETHER = ("tests/embedding", "tests/train")
"""Folders whose ranks run once a session for all files: worth more than even lanes."""
ALONE = ("tests/bench/", "tests/jobs/", "tests/train/test_preemption.py")
"""With a Ray of their own, or measuring, they have the machine for themselves as do all tests that
share a Ray: beside others of their kind, workers are minutes late."""

settings.register_profile("effort", max_examples=examples(100))
settings.load_profile("effort")


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


@pytest.hookimpl(tryfirst=True)  # before pytest looks who is marked
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks files that need the machine for themselves. They come last: most faults then show
    within seconds. Those that share a Ray come after all others: a process in which that one runs
    cannot join another."""
    shares = {
        file_of(item.nodeid)
        for item in items
        if "ray_cluster" in item.fixturenames  # type: ignore[attr-defined]
    }
    alone = shares | {file for item in items if (file := file_of(item.nodeid)).startswith(ALONE)}
    for item in items:
        if file_of(item.nodeid) in alone:
            item.add_marker(pytest.mark.alone)
    items.sort(key=lambda item: (file_of(item.nodeid) in alone, file_of(item.nodeid) in shares))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """`make test TESTS=…` asks twice: that one of the two finds nothing is no fault."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.config.option.markexpr:
        session.exitstatus = pytest.ExitCode.OK


def file_of(nodeid: str) -> str:
    return nodeid.split("::", maxsplit=1)[0]


class Lanes(LoadScopeScheduling):
    """Gives files to processes as these have time, but all of some folders to one of them."""

    def _split_scope(self, nodeid: str) -> str:
        file = file_of(nodeid)
        folder = file.rsplit("/", 1)[0]
        return folder if folder in TOGETHER else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    return Lanes(config, log)
