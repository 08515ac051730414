"""rayrank: generative ranking on Ray, from exposure logs to scores over HTTP.

The public face. These names stay; everything else may change.

    from a config to a served ranker        load_config, Run, cluster, stages (build, train,
                                            evaluate, export, check, promote)
    one's own data and one's own model      load_schema, Schema, Ranker, ModelConfig
    scoring without a server                load_bundle, score
    what can go wrong                       RayrankError

Each is imported when it is first asked for: loading a bundle and scoring with it needs neither Ray
nor TorchRec.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayrank.errors import RayrankError
    from rayrank.infer.bundle import load_bundle
    from rayrank.infer.score import score
    from rayrank.model.ranker import ModelConfig, Ranker
    from rayrank.run import stages
    from rayrank.run.cluster import cluster
    from rayrank.run.config import load_config
    from rayrank.run.run import Run
    from rayrank.schema import Schema, load_schema

__version__ = version("rayrank")
__all__ = [
    "ModelConfig",
    "Ranker",
    "RayrankError",
    "Run",
    "Schema",
    "cluster",
    "load_bundle",
    "load_config",
    "load_schema",
    "score",
    "stages",
]

# A name of a folder here (train, evaluate) would be that folder's once it is imported.
_HOMES = {
    "errors": ["RayrankError"],
    "infer.bundle": ["load_bundle"],
    "infer.score": ["score"],
    "model.ranker": ["ModelConfig", "Ranker"],
    "run.cluster": ["cluster"],
    "run.config": ["load_config"],
    "run.run": ["Run"],
    "schema": ["Schema", "load_schema"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name == "stages":
        return import_module("rayrank.run.stages")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'rayrank' has no attribute {name!r}")
    return getattr(import_module(f"rayrank.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
