"""Mistakes that people make, planted in rendered manifests: each is caught, and said by whom."""

import copy

import pytest

from .checks import caught
from .plant import Documents, Planted
from .planted_day import DAY
from .planted_first import FIRST
from .planted_pods import PODS
from .planted_serving import SERVING
from .render import OPTIONS, STORAGES, rendered
from .test_manifests import needs_schemas

PLANTED = [*FIRST, *SERVING, *DAY, *PODS]


def manifests_of(planted: Planted) -> Documents:
    overlay, *words = planted.overlay.split()
    storage = "".join(word for word in words if word in STORAGES)
    return rendered(overlay, storage, tuple(word for word in words if word in OPTIONS))


@needs_schemas
@pytest.mark.parametrize("planted", PLANTED, ids=[f"{p.mistake} ({p.check})" for p in PLANTED])
def test_mistake_is_caught(planted: Planted) -> None:
    manifests = manifests_of(planted)
    documents = copy.deepcopy(manifests)
    planted.plant(documents)
    changed = [document for document in documents if document not in manifests]
    assert changed or len(documents) < len(manifests)
    found = caught(documents, changed)
    assert any(planted.says in fault for fault in found.get(planted.check, [])), found


def test_each_is_another() -> None:
    assert len({planted.mistake for planted in PLANTED}) == len(PLANTED)
