"""Load a bundle, score a request and build the application, with the packages of a lock alone.

    python serve_locked.py LOCK BUNDLES REQUEST

Every other package that is installed here cannot be imported. Prints the packages that were.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions
from pathlib import Path
from types import ModuleType

OURS = {"rayrank", "hstu_kernels", "serve_apps"}


def plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


lock, bundles, request = sys.argv[1:]
lines = Path(lock).read_text().splitlines()
locked = {line.split("==")[0] for line in lines if not line.startswith("#")}
homes = {name: {plain(of) for of in found} for name, found in packages_distributions().items()}
installed = set(sys.path)
beyond = {name for name, found in homes.items() if not found & locked} - OURS


class Locked(PathFinder):
    """Does not find what the lock does not hold, as in an environment without it."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None and name in beyond:
            # A locked package may bring it along, in a folder that it adds to the path (as Ray).
            return super().find_spec(name, [of for of in sys.path if of not in installed], target)
        return super().find_spec(name, path, target)


# What the environment's own start has imported, such as a coverage tool's, is not serving's.
for name in [name for name in sys.modules if name.partition(".")[0] in beyond]:
    del sys.modules[name]
before = set(sys.modules)
sys.meta_path[sys.meta_path.index(PathFinder)] = Locked

from rayrank.serve.body import JSON  # noqa: E402
from rayrank.serve.config import RankingArgs  # noqa: E402
from rayrank.serve.scores import answer  # noqa: E402
from rayrank.serve.served import Serving, load_served  # noqa: E402
from rayrank.storage import place  # noqa: E402

from serve_apps.ranking import build  # noqa: E402

args = RankingArgs(bundles=bundles)
(version,) = [entry.name for entry in Path(bundles).iterdir() if entry.is_dir()]
served = load_served(place(bundles) / version, Serving(args.limits, args.cache_bytes, None))
asked = served.parser.parse(Path(request).read_bytes(), JSON)
scored = served.engine.submit(asked.rows).result()
told = json.loads(answer(asked, scored.scores, served.model, list(served.schema.tasks)))
build({"bundles": bundles})

imported = {name.split(".")[0] for name in set(sys.modules) - before}
packages = sorted({of for name in imported for of in homes.get(name, set())} & locked)
print(json.dumps({"scores": told["scores"], "packages": packages}))
sys.stdout.flush()
os._exit(0)  # the engine's own thread runs on
