"""The overlays as `kubectl apply -k` would send them."""

import pytest

from .objects import Object
from .render import OVERLAYS, rendered


@pytest.fixture(scope="session")
def manifests() -> list[Object]:
    """Of the overlay for CPUs, where one is enough."""
    return rendered("cpu")


@pytest.fixture(scope="session", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> list[Object]:
    """Of each."""
    return rendered(request.param)
