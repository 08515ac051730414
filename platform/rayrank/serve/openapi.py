"""The API as an OpenAPI document, of the bundle that is served: from it a client can be made."""

from typing import Any

from rayrank.infer.bundle import Manifest
from rayrank.schema import Schema
from rayrank.serve.body import ARROW, ENCODINGS, JSON
from rayrank.serve.contract import contract
from rayrank.serve.limits import Limits
from rayrank.serve.openapi_schemas import Json, ref, schemas

STATUSES = {
    "400": "The body is not JSON in UTF-8, not an Arrow stream, or not compressed as it says.",
    "401": "No key, or none that is valid.",
    "408": "The body did not arrive in time.",
    "413": "Larger than a limit.",
    "415": "`Content-Encoding` is none that is known.",
    "422": "A field is missing, unknown, or of another type, length or range than this says.",
    "500": "A fault of the server, whose log has it by the request's id.",
    "503": "Could not be answered before its deadline, or more wait than may: come again after "
    "`Retry-After` seconds.",
    "504": "Was not answered before its deadline.",
}
"""Of refusals, and what a client makes of each."""
EXAMPLE_TIME_MS = 1_790_000_000_000


def document(schema: Schema, manifest: Manifest, limits: Limits) -> Json:
    """OpenAPI 3.1. The application adds nothing to it."""
    refusals = {
        status: {"description": what, "content": {JSON: {"schema": ref("Error")}}}
        for status, what in STATUSES.items()
    }
    arrow: Json = {ARROW: {"schema": {"type": "string", "contentMediaType": ARROW}}}
    asked: Json = {
        JSON: {
            "schema": {"oneOf": [ref("Request"), ref("Requests")]},
            "example": example(schema, manifest),
        },
        **arrow,
    }
    scores = {JSON: {"schema": {"oneOf": [ref("Scores"), ref("ScoresOfSeveral")]}}, **arrow}
    ranked: Json = {
        "description": "Scores in the order of the candidates, or as they rank; in the form of the "
        "request: with `users` where it had them.",
        "headers": {
            "Server-Timing": _header("string", "What the phases took, in ms."),
            "X-Request-ID": _header("string", "The client's own, or a new one."),
        },
        "content": scores,
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
                    "parameters": _parameters(limits),
                    "requestBody": {"required": True, "content": asked},
                    "responses": {"200": ranked, **refusals},
                }
            },
            "/v1/models": {
                "get": {
                    "operationId": "models",
                    "summary": "What is being served.",
                    "responses": {
                        "200": {"description": "Bundles, their metrics, this contract in short."},
                        "401": refusals["401"],
                    },
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
            "schemas": schemas(schema, manifest, limits),
        },
    }


def example(schema: Schema, manifest: Manifest) -> Json:
    """A request that is taken: two candidates, and a behaviour in every sequence."""
    told, now = contract(schema, manifest), EXAMPLE_TIME_MS

    def columns(features: Json, count: int) -> Json:
        return {
            name: [_example(of)] * count for name, of in features.items() if "same_as" not in of
        }

    item: Json = next((of for of in told["candidates"].values() if "same_as" in of), {})
    keys: list[Any] = [7, 8] if item.get("id_type", "string") == "integer" else ["7", "8"]
    text = any(of == "string" and schema.is_user(name) for name, of in manifest.id_types.items())
    return {
        "user": "1" if text else 1,
        "time_ms": now,
        "profile": {name: _example(of) for name, of in told["profile"].items()},
        "sequences": {
            name: {"time_ms": [now - 60_000], **columns(of["features"], 1)}
            for name, of in told["sequences"].items()
        },
        "candidates": {"item": keys, **columns(told["candidates"], 2)},
    }


def _example(feature: Json) -> Any:
    text = feature.get("id_type") == "string"
    if feature["kind"] in ("number", "bucket"):
        low, high = feature.get("range", (0.0, 1.0))
        return round((low + high) / 2, 3)
    if feature["kind"] == "vector":
        return [0.0] * feature["width"]
    one: Any = "a" if text else 1
    return [one] if feature["kind"] == "ids" else one


def _parameters(limits: Limits) -> list[Json]:
    named = {
        "X-Timeout-Ms": (
            {"type": "integer", "minimum": 1, "default": limits.timeout_ms},
            f"How long the client waits. At most {limits.timeout_ms}.",
        ),
        "Content-Encoding": (
            {"type": "string", "enum": [*ENCODINGS, "identity"]},
            "How the body is compressed.",
        ),
        "X-Request-ID": ({"type": "string"}, "The client's name for the request; in logs too."),
        "traceparent": ({"type": "string"}, "W3C trace context, which spans of this server join."),
    }
    return [
        {"name": name, "in": "header", "schema": of, "description": what}
        for name, (of, what) in named.items()
    ]


def _header(kind: str, what: str) -> Json:
    return {"schema": {"type": kind}, "description": what}
