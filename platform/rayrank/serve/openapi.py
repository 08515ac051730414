"""The API as an OpenAPI document, of the bundle that is served: from it a client can be made."""

from typing import Any

from rayrank.infer.bundle import Manifest
from rayrank.schema import Schema
from rayrank.serve.contract import contract
from rayrank.serve.limits import Limits

Json = dict[str, Any]

TIME_MS: Json = {"type": "integer", "description": "Milliseconds since 1970, UTC."}
KEY: Json = {"type": ["integer", "string"]}
STATUSES = {
    "400": "The body is not JSON in UTF-8.",
    "401": "No key, or none that is valid.",
    "408": "The body did not arrive before the deadline.",
    "413": "Larger than a limit.",
    "422": "A field is missing, unknown, or of another type, length or range than this says.",
    "503": "Could not be answered before its deadline, or more wait than may: come again after "
    "`Retry-After` seconds.",
    "504": "Was not answered before its deadline.",
}
"""Of refusals, and what a client makes of each."""


def document(schema: Schema, manifest: Manifest, limits: Limits) -> Json:
    """OpenAPI 3.1. The application adds nothing to it."""
    refusals = {
        status: {
            "description": what,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
        for status, what in STATUSES.items()
    }
    ranked = {"description": "Scores in the order of the candidates.", "content": _json("Scores")}
    served = {"description": "The bundle, its metrics, and this contract in short."}
    deadline = {
        "name": "X-Timeout-Ms",
        "in": "header",
        "schema": {"type": "integer", "minimum": 1, "default": limits.timeout_ms},
        "description": "How long the client waits.",
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": f"rayrank: {schema.name}", "version": manifest.version},
        "security": [{"key": []}],
        "paths": {
            "/v1/rank": {
                "post": {
                    "operationId": "rank",
                    "summary": "Score a request's candidates.",
                    "parameters": [deadline],
                    "requestBody": {"required": True, "content": _json("Request")},
                    "responses": {"200": ranked, **refusals},
                }
            },
            "/v1/models": {
                "get": {
                    "operationId": "models",
                    "summary": "What is being served.",
                    "responses": {"200": served, "401": refusals["401"]},
                }
            },
            "/healthz": {
                "get": {
                    "operationId": "health",
                    "summary": "Alive and loaded.",
                    "security": [],
                    "responses": {"200": {"description": "It is."}},
                }
            },
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Request": request_schema(schema, manifest, limits),
                "Scores": _scores(schema),
                "Error": _error(),
            },
        },
    }


def request_schema(schema: Schema, manifest: Manifest, limits: Limits) -> Json:
    """JSON Schema of a request. It cannot say that lists are of one length, nor what lies within a
    request's window."""
    told = contract(schema, manifest)

    def columns(features: Json, most: int, times: list[str]) -> Json:
        lists = {name: _list(_value(f, limits), most) for name, f in features.items()}
        return {name: _list(TIME_MS, most) for name in times} | lists

    sequences = {
        name: _object(columns(of["features"], limits.behaviours, ["time_ms", "known_at_ms"]), [])
        for name, of in told["sequences"].items()
    }
    shown = columns(told["candidates"], limits.candidates, ["time_ms"])
    shown["item"] = _list(KEY, limits.candidates) | {"minItems": 1}
    profile = {name: _value(of, limits) for name, of in told["profile"].items()}
    return _object(
        {
            "user": KEY,
            "time_ms": TIME_MS,
            "profile": _object(profile, _demanded(told["profile"])),
            "sequences": _object(sequences, []),
            "candidates": _object(shown, ["item", *_demanded(told["candidates"])]),
        },
        ["user", "time_ms", "candidates"],
    )


def _value(feature: Json, limits: Limits) -> Json:
    one: Json = {"type": "string" if feature.get("id_type") == "string" else "integer"}
    kind = feature["kind"]
    if kind in ("number", "bucket"):
        one = {"type": "number"}
        if "range" in feature:
            low, high = feature["range"]
            one["description"] = f"Counts as the nearer of {low:g} and {high:g} beyond them."
    if kind == "ids":
        one = {"type": "array", "items": one, "maxItems": limits.list_ids}
    if kind == "vector":
        one = {"type": "array", "items": {"type": "number"}, "maxItems": feature["width"]}
    if "default" in feature or kind == "ids":  # a list that is null is empty
        one |= {"type": [one["type"], "null"]}
    if "default" in feature:
        one |= {"default": feature["default"]}
    return one


def _demanded(features: Json) -> list[str]:
    return [name for name, told in features.items() if "default" not in told]


def _list(items: Json, most: int) -> Json:
    return {"type": "array", "items": items, "maxItems": most}


def _object(properties: Json, required: list[str]) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _scores(schema: Schema) -> Json:
    model = {name: {"type": "string"} for name in ("name", "version", "schema")}
    of_tasks = {name: {"type": "array", "items": {"type": "number"}} for name in schema.tasks}
    properties = {
        "model": _object(model, list(model)),
        "items": {"type": "array", "items": KEY},
        "scores": _object(of_tasks, list(of_tasks)),
    }
    return _object(properties, list(properties))


def _error() -> Json:
    told = {name: {"type": "string"} for name in ("field", "message", "request_id")}
    return _object({"error": _object(told, list(told))}, ["error"])


def _json(name: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
