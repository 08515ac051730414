"""The Serve configuration in the RayService: what Ray takes, what Ray reads, what ours takes.

Ray's own schema lets unknown keys pass, so a misspelt limit would silently be the default.
"""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema
from rayrank.errors import ConfigError
from rayrank.serve.app import RankingApp
from rayrank.strict import parse

from .objects import ROOT, Object, cluster_of, of_kind
from .serve_schema import ServeConfig
from .settings import environment, of_head

DEPLOYMENT: Any = RankingApp


def serve_config_of(document: Object) -> Any:
    return copy.deepcopy(_read(document["spec"].get("serveConfigV2", "")))


@cache
def _read(text: str) -> Any:
    return yaml.safe_load(text)


def unknown_keys(model: type[BaseModel], content: Any, path: str = "$") -> list[str]:
    """The keys in `content` that `model` has no field for, at any depth."""
    if not isinstance(content, dict):
        return []
    found = []
    for key, value in content.items():
        field = model.model_fields.get(key)
        if field is None:
            found.append(f"{path}.{key}")
            continue
        for below in models_in(field.annotation):
            for position, item in enumerate(value if isinstance(value, list) else [value]):
                step = f"[{position}]" if isinstance(value, list) else ""
                found += unknown_keys(below, item, f"{path}.{key}{step}")
    return found


def models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def serve_config_faults(documents: list[Object]) -> list[str]:
    return [
        f"serveConfigV2: {fault}"
        for document in of_kind(documents, "RayService")
        for fault in config_faults(document, of_head(cluster_of(document), documents))
    ]


def config_faults(document: Object, told: dict[str, str]) -> Iterator[str]:
    try:
        config = serve_config_of(document)
        ServeDeploySchema.model_validate(config)
    # Ray's own validators take for granted that what they look at is of the right type.
    except (yaml.YAMLError, ValidationError, AttributeError, TypeError) as error:
        yield str(error)
        return
    yield from (f"{key} is unknown" for key in unknown_keys(ServeDeploySchema, config))
    try:
        with environment(told):
            parse(ServeConfig, config, "ours")
    except ConfigError as error:
        yield str(error)
    for application in config.get("applications", []):
        yield from application_faults(application)


def application_faults(application: Object) -> Iterator[str]:
    module, _, builder = application["import_path"].partition(":")
    file = ROOT / f"{module.replace('.', '/')}.py"
    if not file.is_file() or f"def {builder}(" not in file.read_text():
        yield f"there is no {application['import_path']}"
    for deployment in application.get("deployments", []):
        # Ray takes the configuration, and then fails to deploy it.
        if deployment["name"] != DEPLOYMENT.name:
            yield f"the application has no deployment {deployment['name']!r}"
