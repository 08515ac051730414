"""From a config to a model, of ours or of anybody's."""

import importlib
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, SerializeAsAny

from rayrank.embedding.tables import Tables
from rayrank.errors import ConfigError
from rayrank.model.features import Scales
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.schema import Schema

SHORT = {
    "mtgr": "rayrank.model.mtgr:MTGR",
    "dlrm": "rayrank.model.dlrm:DLRM",
    "deepfm": "rayrank.model.deepfm:DeepFM",
    "dcn": "rayrank.model.dcn:DCN",
    "din": "rayrank.model.din:DIN",
    "mmoe": "rayrank.model.mmoe:MMoE",
    "ple": "rayrank.model.ple:PLE",
    "moe": "rayrank.model.moe:MoE",
    "user_tower": "rayrank.model.user_tower:UserTower",
    "hstu": "rayrank.model.meta_hstu:HSTU",
}
"""Kinds that have a short name."""


def ranker_class(kind: str) -> type[Ranker]:
    """The class that a kind names: a short name, or `package.module:Class`.

    Nothing but the import of that module runs. Raises ConfigError, naming the kind, where there is
    no such module or class, or what is there is no ranker.
    """
    module_name, _, name = SHORT.get(kind, kind).partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), name]):
        raise ConfigError(f"expected {', '.join(SHORT)} or package.module:Class, got {kind!r}")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module of somebody else's does
        raise ConfigError(
            f"cannot import {module_name} of {kind!r} ({type(error).__name__}: {error}): every "
            "process that trains, scores or serves needs it, installed, on PYTHONPATH, or in the "
            "job's --working-dir"
        ) from error
    if not hasattr(module, name):
        raise ConfigError(f"{kind!r}: module {module_name} has no {name}")
    found = getattr(module, name)
    if not (isinstance(found, type) and issubclass(found, Ranker)):
        raise ConfigError(f"{kind!r}: {name} must be a subclass of rayrank.model.ranker.Ranker")
    config = getattr(found, "Config", None)
    if not (isinstance(config, type) and issubclass(config, ModelConfig)):
        raise ConfigError(
            f"{kind!r}: {name}.Config must be a subclass of rayrank.model.ranker.ModelConfig"
        )
    return found


def parse_model_config(values: Any) -> ModelConfig:
    """The config of whichever model `values["kind"]` names, as its own class checks it.

    A ModelConfig is taken as it is. Raises pydantic's ValidationError with the key of each fault.
    """
    if isinstance(values, ModelConfig):
        return values
    kind = ModelKind.model_validate(values).kind
    return ranker_class(kind).Config.model_validate(values)


AnyModelConfig = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(parse_model_config)]
"""A field of some model's config, read and written with all keys of its own class."""


def build_model(schema: Schema, config: ModelConfig, tables: Tables, scales: Scales) -> Ranker:
    """The ranker a config describes. `scales` come from the training rows (`RowStats.scales`).

    Raises ConfigError where the config is not of the class that its kind's ranker takes, or the
    ranker is not the only one to hold its tables.
    """
    found: Any = ranker_class(config.kind)  # `Ranker` says how its subclasses are made
    if not isinstance(config, found.Config):
        raise ConfigError(
            f"{config.kind!r} takes a {found.Config.__name__}, got a {type(config).__name__}"
        )
    ranker: Ranker = found(schema, config, tables, scales)
    ranker.scale_labels(scales)
    parts = ranker.named_modules(remove_duplicate=False)
    if elsewhere := [name for name, part in parts if part is tables and name != "tables"]:
        raise ConfigError(
            f"{config.kind!r}: a ranker holds its tables as `tables` and nowhere else, "
            f"found them as {elsewhere} too"
        )
    return ranker


def _is_known(kind: str) -> str:
    try:
        ranker_class(kind)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return kind


class ModelKind(BaseModel):
    """Of a model's config, what says which model it is."""

    kind: Annotated[str, AfterValidator(_is_known)]
