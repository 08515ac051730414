"""Three small bundles in a folder, and a follower of what its names stand for."""

from pathlib import Path

import numpy as np
from rayrank.infer.bundle import TABLES
from rayrank.serve.limits import Limits
from rayrank.serve.served import Follower, Served, Serving
from rayrank.versions import CURRENT, name_version

from ..clusters import wait_until
from ..infer.bundles import USERS, frozen, trained, write
from ..model.rows import jagged, table

NEVER_S, OFTEN_S = 3600.0, 0.01
WEIGHTS = range(3)
SERVING = Serving(Limits(), 0, None)


def write_versions(bundles: Path) -> list[str]:
    """One for each of WEIGHTS; the first is current."""
    found = [write(bundles, trained("dlrm", seed), "dlrm").version for seed in WEIGHTS]
    name_version(bundles, CURRENT, found[0])
    return found


class Following(Follower):
    """A follower that keeps what it was told to tell."""

    def __init__(self, bundles: Path, version: str = CURRENT, every_s: float = NEVER_S) -> None:
        self.switches: list[bool] = []
        super().__init__(bundles, version, SERVING, every_s, self.switches.append)

    @property
    def version(self) -> str:
        return self.now.manifest.version

    def until_version(self, version: str) -> None:
        wait_until("the switch", lambda: self.version == version, seconds=30)

    def until_fault(self, fault: str) -> None:
        wait_until("it is told", lambda: self.faults == {CURRENT: fault}, seconds=30)


def spoil(bundles: Path, version: str) -> Path:
    """Flip a bit of a weight."""
    path = bundles / version / TABLES
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path


def scores(asked: Served) -> np.ndarray:
    return np.concatenate(asked.engine.submit(table(USERS)).result().scores)


def expected(weights: int) -> np.ndarray:
    ranker = trained("dlrm", weights)
    ranker.tables = frozen(ranker, "dlrm")
    return ranker.predictions(ranker(jagged(USERS))).detach().numpy()
