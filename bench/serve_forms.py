"""What reading a request costs, told as JSON and as Arrow."""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import orjson
from rayrank.infer.bundle import Manifest
from rayrank.schema import CANDIDATES, PROFILE, Schema
from rayrank.serve.body import ARROW, JSON, Form, read_body
from rayrank.serve.columns import demand_agreement, item_keys, key_of, times_of
from rayrank.serve.limits import Limits
from rayrank.serve.request import RequestParser
from rayrank.serve.values import _from_arrow, _from_list

from bench.serve_rows import Request, as_arrow

LIMITS = Limits()


class Columns:
    """Reads a body as far as its form matters: until every column is checked, and is Arrow's.

    What follows (encoding, sorting, the user row) is one code for both forms, and takes the same
    time for them.
    """

    def __init__(self, schema: Schema, manifest: Manifest) -> None:
        self.schema, self.id_types = schema, manifest.id_types

    def read(self, body: bytes, form: Form) -> None:
        """All columns of a body, of one user."""
        (user,) = read_body(body, form).users
        key_of(user["user"], "user")
        times_of([user["time_ms"]], "time_ms")
        profile = {name: [value] for name, value in user["profile"].items()}
        self._features(profile, PROFILE.token)
        for name, told in user["sequences"].items():
            self._features(told, name)
        shown = user["candidates"]
        item_keys(shown["item"], "item")
        for name in self._features(shown, CANDIDATES.token):
            if self.schema.is_item(name):
                demand_agreement(shown[name], shown["item"], name)

    def _features(self, columns: dict[str, Any], token: str) -> list[str]:
        for name in ("time_ms", "known_at_ms"):
            if name in columns:
                times_of(columns[name], name)
        features = self.schema.given_features_of(token)
        given = [name for name in features if name in columns]
        for name in given:
            values, kind = columns[name], self.id_types.get(name, "integer")
            read = _from_list if isinstance(values, list) else _from_arrow
            read(values, features[name], kind, name, LIMITS)
        return given


def arrow_over_json(
    schema: Schema, manifest: Manifest, request: Request, rounds: int
) -> dict[str, Any]:
    """How many times faster Arrow is read than JSON: as far as the form matters, and the whole of
    parsing."""
    columns = Columns(schema, manifest)
    parser = RequestParser(schema, manifest.id_types, LIMITS)
    bodies: dict[str, tuple[bytes, Form]] = {
        "json": (orjson.dumps(request), JSON),
        "arrow": (as_arrow(request), ARROW),
    }
    ways: dict[str, Callable[[], object]] = {}
    for name, told in bodies.items():
        ways[f"{name}_read"] = partial(columns.read, *told)
        ways[f"{name}_parse"] = partial(parser.parse, *told)
    ms = _medians_ms(ways, rounds)
    return {
        "arrow_over_json": ms["json_read"] / ms["arrow_read"],
        "arrow_over_json_parse": ms["json_parse"] / ms["arrow_parse"],
        "read_ms": ms,
        "read_bytes": {name: len(body) for name, (body, _) in bodies.items()},
    }


def _medians_ms(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Of each way's rounds, in turns; one round before them is not counted."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(1 + rounds):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            times[name].append(1000 * (time.perf_counter() - begun))
    return {name: median(each[1:]) for name, each in times.items()}
