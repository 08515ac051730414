"""What a request for a bundle holds, for those who write one: every feature, and where it goes."""

from typing import Any

from rayrank.infer.bundle import Manifest
from rayrank.schema import CANDIDATES, PROFILE, Feature, Schema


def contract(schema: Schema, manifest: Manifest) -> dict[str, Any]:
    """The features of each part of a request by name, as JSON."""

    def of(token: str) -> dict[str, Any]:
        return {
            name: _feature(schema, token, name, feature, manifest)
            for name, feature in schema.given_features_of(token).items()
            if not (token == PROFILE.token and schema.is_user(name))
        }

    return {
        "profile": of(PROFILE.token),
        "sequences": {
            name: {"keep": sequence.keep, "features": of(name)}
            for name, sequence in schema.sequences.items()
        },
        "candidates": of(CANDIDATES.token),
    }


def _feature(
    schema: Schema, token: str, name: str, feature: Feature, manifest: Manifest
) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": feature.kind}
    if name in manifest.id_types:
        told["id_type"] = manifest.id_types[name]
    if token == CANDIDATES.token and schema.is_item(name):
        told["same_as"] = "item"  # and may be left out
    if feature.default is not None:
        told["default"] = feature.default
    if (between := manifest.ranges.get(f"{token}.{name}")) is not None:
        told["range"] = list(between)
    if feature.width is not None:
        told["width"] = feature.width
    return told
