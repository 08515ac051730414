"""Small bundles of random weights and small requests: thousands are answered in a minute."""

import shutil
from pathlib import Path

from rayrank.embedding.tables import LocalTables
from rayrank.infer.bundle import TABLES, write_bundle
from rayrank.infer.drift import Reference
from rayrank.model.mtgr import MTGRConfig
from rayrank.versions import CURRENT, name_version

from bench.engine_rows import SCHEMA, model
from bench.serve_rows import heavy

HISTORY, CANDIDATES, USERS = 10, 5, 200
DAMAGED = "damaged"


def small_bodies() -> list[bytes]:
    """Requests for `small_bundles`."""
    return [heavy(user, HISTORY, CANDIDATES) for user in range(USERS)]


def small_bundles(bundles: Path, count: int) -> list[str]:
    """Write so many versions, the first of which is current."""
    ranker = model("tiny")
    assert isinstance(ranker.tables, LocalTables)
    versions = [
        write_bundle(
            bundles,
            ranker="mtgr",
            schema=SCHEMA,
            model=MTGRConfig.model_validate({"size": "tiny"}),
            seed=0,
            id_types={"item_id": "integer", "shop": "integer"},
            ranges={},
            reference=Reference(split="test", rows=1, scored_rows=1, scores={}, numbers={}),
            metrics={},
            made_from={},
            trained_steps=number,
            dense=ranker.dense_state(),
            rows={name: ranker.tables.rows(name) for name in SCHEMA.tables},
        ).version
        for number in range(count)
    ]
    name_version(bundles, CURRENT, versions[0])
    return versions


def damaged_copy(bundles: Path, version: str) -> Path:
    """A copy of a version with a flipped bit, as DAMAGED: the file that has it."""
    shutil.copytree(bundles / version, bundles / DAMAGED, dirs_exist_ok=True)
    file = bundles / DAMAGED / TABLES
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return file
