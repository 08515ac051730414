"""The base of every model that is read from a file or a request."""

import os
from string import Template
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from rayrank.errors import ConfigError
from rayrank.storage import AnyPath

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]


def _with_variables(uri: str) -> str:
    try:
        return Template(uri).substitute(os.environ)
    except KeyError as error:
        raise ValueError(f"${error.args[0]} is not set in the environment") from None
    except ValueError:
        raise ValueError("a dollar sign without a variable's name; $$ is a dollar sign") from None


Uri = Annotated[str, AfterValidator(_with_variables)]
"""Of a file or folder; `$NAME` and `${NAME}` in it are variables of the environment: where things
lie is for the cluster to say, once, and not for each config."""


class Strict(BaseModel):
    """Unknown keys are errors, values are frozen, defaults are checked too; the text under a field
    is its description (docs/config.md is made of them)."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, use_attribute_docstrings=True
    )


StrictT = TypeVar("StrictT", bound=Strict)


class _EachKeyOnce(yaml.SafeLoader):
    """YAML lets a later key silently win over an earlier one of the same name."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice!r} occurs twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_yaml(path: AnyPath) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError, naming the file, where there is none."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        content = yaml.load(path.read_text(), _EachKeyOnce)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, found {content!r}")
    return content


def parse(model: type[StrictT], content: dict[str, Any], where: str) -> StrictT:
    """Validate `content`; ConfigError lists every fault with its key and what was expected."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {fault}" for fault in faults(error))) from None


def faults(error: ValidationError) -> list[str]:
    """One readable line per fault: the key's path and what was expected there."""
    lines = []
    for fault in error.errors(include_url=False):
        key = ".".join(str(part) for part in fault["loc"]) or "(top level)"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{key}: unknown key")
        elif fault["type"] == "missing":
            lines.append(f"{key}: missing")
        else:
            message = fault["msg"].removeprefix("Value error, ")
            # A fault between keys has a whole section for its input: its message says enough.
            section = isinstance(fault["input"], dict)
            lines.append(
                f"{key}: {message}" + ("" if section else f" (found {fault['input']!r})"[:200])
            )
    return lines
