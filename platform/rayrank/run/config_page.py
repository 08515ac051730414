"""docs/config.md, every key of a run, an endpoint and a log, and docs/config-models.md, every key
of a model: made from the code (`make docs`)."""

import inspect
import json
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import ValidationError

from rayrank.model.build import SHORT, ranker_class
from rayrank.model.ranker import ModelConfig
from rayrank.run.config import RunConfig
from rayrank.schema import Schema
from rayrank.serve.config import RankingArgs
from rayrank.strict import Strict

RUN = """\
# Every key

Made from the code by `make docs`.

A run's config is a YAML file: `jobs/demo.yaml`, for one. Any key of it can be said behind a
command, as it stands here: `python jobs/demo.py data.simulate.users=500
rankers.mtgr.train.epochs=3`, or `make demo SET="…"`. Values are YAML. `NAME` is any name you give a
ranker, and what its `model` may say is [on a page of its own](config-models.md). An unknown key is
an error.
"""
MODELS = """\
# Every key of a model

Made from the code by `make docs`.

What `rankers.NAME.model` says ([every other key](config.md)): `kind` names the model, and the other
keys are those of its own config. [What there is, and a model of your own](models.md).
"""
SERVING = """\
# Serving

The `args` of `serve_apps/ranking.yaml`, or `serve run serve_apps.ranking:build key=value …`.
"""
LOG = """\
# A log

`schema.yaml`, beside the tables of a log of your own (docs/data.md says how it is meant).
"""
BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
    "multipleOf": "a multiple of",
    "minItems": "no fewer than",
    "maxLength": "of length ≤",
}
KINDS = {
    "integer": "integer",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}


class Key(NamedTuple):
    """A line of the page."""

    name: str
    """Dotted, as one overrides it."""
    kind: str
    default: str
    meaning: str


class Section(NamedTuple):
    """The keys of one model."""

    title: str
    kind: str
    """Of a ranker's model."""
    text: str
    keys: list[Key]


def sections(
    model: type[Strict], prefix: str = "", kind: str = "", without: Collection[type[Strict]] = ()
) -> Iterator[Section]:
    """A section for a model, and one for each model inside it that is not on another page
    (`without`); `kind`: of a ranker's model."""
    properties = model.model_json_schema()["properties"]
    defaults = _defaults(model)
    keys: list[Key] = []
    inner: list[Section] = []
    for attribute, field in model.model_fields.items():
        name = field.alias or attribute
        dotted = f"{prefix}{name}"
        if field.annotation is ModelConfig:
            for short in SHORT:
                inner += sections(ranker_class(short).Config, f"{dotted}.", short)
        elif (found := _model_in(field.annotation)) is not None:
            named = get_origin(field.annotation) is dict
            if found not in without:
                within = f"{dotted}.NAME." if named else f"{dotted}."
                inner += sections(found, within, without=without)
        else:
            default = _written(defaults[attribute]) if attribute in defaults else "needed"
            meaning = " ".join((field.description or "").split())
            keys.append(Key(dotted, kind_of(properties[name]), default, meaning))
    title = f"`{prefix.rstrip('.')}`" if prefix else "At the top"
    text = inspect.getdoc(model) or ""
    if keys:
        yield Section(f"{title}, kind `{kind}`" if kind else title, kind, text, keys)
    yield from inner


def kind_of(schema: dict[str, Any]) -> str:
    """What a key takes, of its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(kind_of(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "object":
        names = schema.get("propertyNames", {}).get("enum")
        named = f"of {', '.join(f'`{name}`' for name in names)}" if names else "by name"
        inner = schema["additionalProperties"]
        return f"{named}: {kind_of({} if inner is True else inner)}"
    bounds = [f"{sign} {schema[bound]}" for bound, sign in BOUNDS.items() if bound in schema]
    if schema.get("type") == "array":
        return ", ".join([f"list of: {kind_of(schema['items'])}", *bounds])
    kind = KINDS[schema["type"]] if "type" in schema else "anything"
    return " ".join([kind, ", ".join(bounds)]).strip()


def page() -> str:
    """The whole page, but for models."""
    parts = []
    for lead, model in ((RUN, RunConfig), (SERVING, RankingArgs), (LOG, Schema)):
        parts += [lead, *(in_markdown(section) for section in sections(model) if not section.kind)]
    return "\n".join(parts)


def models_page() -> str:
    """The page of models, in the order of `SHORT`."""
    return "\n".join([MODELS, *(in_markdown(part) for part in sections(RunConfig) if part.kind)])


def in_markdown(section: Section) -> str:
    """Its title, its text, and a table of its keys."""
    lines = [f"## {section.title}", "", section.text, ""]
    lines += ["| key | value | default | |", "|---|---|---|---|"]
    lines += [
        f"| `{key.name}` | {key.kind} | {key.default} | {key.meaning} |" for key in section.keys
    ]
    return "\n".join(lines) + "\n"


def _model_in(annotation: Any) -> type[Strict] | None:
    """The model that a field is, or holds by name."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Strict):
            return candidate
    return None


def _defaults(model: type[Strict]) -> dict[str, Any]:
    """What each key is when nothing is said; keys that must be said are left out."""
    try:
        return dict(model())  # what a validator fills in, too
    except ValidationError:
        fields = model.model_fields.items()
        return {name: field.default for name, field in fields if not field.is_required()}


def _written(value: Any) -> str:
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


if __name__ == "__main__":
    for path, text in zip(sys.argv[1:], (page(), models_page()), strict=True):
        Path(path).write_text(text)
