"""What requests and answers hold, as JSON Schema, of the bundle that is served."""

from typing import Any

from rayrank.data.times import EARLIEST_MS, LATEST_MS
from rayrank.infer.bundle import Manifest
from rayrank.schema import Schema
from rayrank.serve.contract import contract
from rayrank.serve.limits import Limits
from rayrank.serve.ranking import LONGEST

Json = dict[str, Any]

TIME_MS: Json = {
    "type": "integer",
    "minimum": EARLIEST_MS,
    "maximum": LATEST_MS,
    "description": "Milliseconds since 1970, UTC.",
}
KEY: Json = {"type": ["integer", "string"]}


def schemas(schema: Schema, manifest: Manifest, limits: Limits) -> Json:
    """All of them by name."""
    ranking = _ranking(schema)
    user = user_schema(schema, manifest, limits)
    alone = user | {"properties": user["properties"] | {"ranking": ranking}}
    users = {"type": "array", "items": ref("User"), "minItems": 1, "maxItems": limits.users}
    several = _object({"users": users, "ranking": ranking}, ["users"])
    answered = _answered(schema)
    model = _object({name: {"type": "string"} for name in ("name", "version", "schema")}, None)
    return {
        "User": user,
        "Request": alone,
        "Requests": several,
        "Scores": _object({"model": model, **answered}, ["model", "items", "scores"]),
        "ScoresOfSeveral": _object(
            {
                "model": model,
                "users": {"type": "array", "items": _object(answered, ["items", "scores"])},
            },
            None,
        ),
        "Error": _error(),
    }


def ref(name: str) -> Json:
    """One of them."""
    return {"$ref": f"#/components/schemas/{name}"}


def user_schema(schema: Schema, manifest: Manifest, limits: Limits) -> Json:
    """Of one user. It cannot say that lists are of one length, nor what lies within a request's
    window."""
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
    return [name for name, told in features.items() if not {"default", "same_as"} & told.keys()]


def _list(items: Json, most: int) -> Json:
    return {"type": "array", "items": items, "maxItems": most}


def _object(properties: Json, required: list[str] | None) -> Json:
    """required: all of them, where None."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
        "additionalProperties": False,
    }


def _ranking(schema: Schema) -> Json:
    formula = {
        "type": "string",
        "maxLength": LONGEST,
        "description": f"Of numbers, + - * / ** ( ) and {', '.join(schema.tasks)}.",
    }
    top = {"type": ["integer", "null"], "minimum": 1, "description": "How many of the best; all."}
    told = "The best first, by a formula over tasks; ties stay in order."
    return _object({"formula": formula, "top": top}, ["formula"]) | {
        "type": ["object", "null"],
        "description": told,
    }


def _answered(schema: Schema) -> Json:
    numbers = {"type": "array", "items": {"type": "number"}}
    return {
        "items": {"type": "array", "items": KEY},
        "scores": _object(dict.fromkeys(schema.tasks, numbers), None),
        "values": numbers | {"description": "The formula's, where a ranking was asked for."},
    }


def _error() -> Json:
    text = {"type": "string"}
    faults = {
        "type": "array",
        "items": _object({"field": text, "message": text}, None),
        "description": "All that is wrong, as far as an answer tells; the first is told above too.",
    }
    more = {"type": "integer", "description": "Faults beyond those that are told."}
    error = {"field": text, "message": text, "request_id": text, "faults": faults, "more": more}
    return _object({"error": _object(error, None)}, None)
