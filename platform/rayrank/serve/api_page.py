"""docs/api.md, from the OpenAPI document of the schema that docs/data.md shows.

python -m rayrank.serve.api_page docs/data.md docs/api.md
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from rayrank.data.ids import IdTypes
from rayrank.infer.bundle import Manifest
from rayrank.schema import Schema
from rayrank.serve.limits import Limits
from rayrank.serve.openapi import document
from rayrank.serve.openapi_schemas import Json

LEAD = """# The API

Made by `make docs` from the OpenAPI document of one schema, that of [docs/data.md](data.md), whose
features these are. `GET /openapi.json` of an endpoint has the document of what it serves.
"""


def page(told: Json) -> str:
    """Of a document: its paths, then what they refer to, as Markdown."""
    parts = [LEAD]
    for path, methods in told["paths"].items():
        for method, of in methods.items():
            parts.append(f"## {method.upper()} {path}\n\n{of['summary']}{_key(of)}\n")
            parts += _operation(of)
    schemas = told["components"]["schemas"]
    parts += [_schema(name, of, schemas["User"]) for name, of in schemas.items()]
    return "\n".join(parts)


def _key(operation: Json) -> str:
    return " Needs no key." if operation.get("security") == [] else ""


def _operation(of: Json) -> list[str]:
    parts = []
    if "parameters" in of:
        lines = ["| header | value | |", "|---|---|---|"]
        lines += [
            f"| `{p['name']}` | {_type(p['schema'])} | {p['description']} |"
            for p in of["parameters"]
        ]
        parts.append("\n".join(lines) + "\n")
    if "requestBody" in of:
        content = of["requestBody"]["content"]
        bodies = [f"`{form}`: {_type(body['schema'])}" for form, body in content.items()]
        parts.append(f"Body: {'; '.join(bodies)}.\n")
        for body in content.values():
            if "example" in body:
                parts.append(f"```json\n{json.dumps(body['example'])}\n```\n")
    lines = ["| status | | |", "|---|---|---|"]
    for status, answer in of["responses"].items():
        types = [_type(body["schema"]) for body in answer.get("content", {}).values()]
        lines.append(f"| {status} | {answer['description']} | {'; '.join(types)} |")
    return [*parts, "\n".join(lines) + "\n"]


def _schema(name: str, of: Json, user: Json) -> str:
    lines, fields = [f"## {name}\n"], _fields("", of)
    if of is not user and user["properties"].keys() < of["properties"].keys():
        lines.append("As [User](#user), and\n")
        fields = fields[len(_fields("", user)) :]
    return "\n".join([*lines, "| field | value | |", "|---|---|---|", *fields]) + "\n"


def _fields(prefix: str, of: Json) -> list[str]:
    lines = []
    for name, field in of["properties"].items():
        demanded = "" if name in of["required"] else "may be left out"
        told = "; ".join(filter(None, [demanded, field.get("description", "")]))
        lines.append(f"| `{prefix}{name}` | {_type(field)} | {told} |")
        inner = field.get("items", field)
        if "properties" in inner:
            lines += _fields(f"{prefix}{name}.", inner)
    return lines


def _type(of: Json) -> str:
    if "$ref" in of:
        name = of["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "oneOf" in of:
        return " or ".join(map(_type, of["oneOf"]))
    if "contentMediaType" in of:
        return "the same fields"
    types = of["type"] if isinstance(of["type"], list) else [of["type"]]
    text = " or ".join(types)
    if "enum" in of:
        text = ", ".join(f"`{value}`" for value in of["enum"])
    if "array" in types:
        text = text.replace("array", f"list of {_type(of['items'])}")
    bounds = {
        "minItems": "at least",
        "maxItems": "at most",
        "minimum": "from",
        "maximum": "to",
        "maxLength": "at most",
    }
    limits = [f"{word} {of[bound]}" for bound, word in bounds.items() if bound in of]
    default = [f"by default `{json.dumps(of['default'])}`"] if "default" in of else []
    return ", ".join([text, *limits, *default])


def schema_shown(text: str) -> Schema:
    """The schema in a page's first block of YAML."""
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = yaml.safe_load(found[1])
    return Schema.model_validate(content)


def made(shown: str) -> str:
    """The page, of the page that shows a schema."""
    schema = schema_shown(shown)
    id_types: IdTypes = {name: "string" for name, f in schema.features.items() if "id" in f.kind}
    manifest = Manifest.model_construct(version="VERSION", id_types=id_types, ranges={})
    return page(document(schema, manifest, Limits()))


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(made(Path(sys.argv[1]).read_text()))
