"""A pytest plugin: tells coverage, which runs pytest, the test that runs at the moment."""

from collections.abc import Iterator

import coverage
import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    running = coverage.Coverage.current()
    assert running is not None
    running.switch_context(item.nodeid)
    result = yield
    running.switch_context("")
    return result
