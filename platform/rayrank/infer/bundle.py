"""A bundle: what leaves training.

    manifest.json        version, schema, ranker config, metrics, id types, SHA-256 of every file
    dense.safetensors    replicated weights
    tables.safetensors   per table: keys int64 [n], vectors float32 [n, dim]

Loading one never unpickles.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rayrank.data.ids import IdTypes
from rayrank.data.whole import sha256, whole_folder
from rayrank.embedding.tables import LearnedRows, LocalTables
from rayrank.errors import BundleError, ConfigError, WeightsError
from rayrank.model.build import build_model, parse_model_config
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.schema import Schema
from rayrank.strict import Strict, faults, parse

FORMAT = 1
MANIFEST, DENSE, TABLES = "manifest.json", "dense.safetensors", "tables.safetensors"


class Manifest(Strict):
    """What a bundle says of itself."""

    format: int
    version: str
    """The first 12 hex digits of a hash over everything else, weights included."""
    ranker: str
    schema_: dict[str, Any]
    model: dict[str, Any]
    seed: int
    max_history: int
    id_types: IdTypes
    """What ids were in the log: a request that sends the other kind would match nothing."""
    metrics: dict[str, Any]
    trained_steps: int
    sha256: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """A ranker ready to score on CPU in float32, and what it expects."""

    manifest: Manifest
    schema: Schema
    ranker: Ranker


def write_bundle(
    out: Path,
    *,
    ranker: str,
    schema: Schema,
    model: ModelConfig,
    seed: int,
    max_history: int,
    id_types: IdTypes,
    metrics: dict[str, Any],
    trained_steps: int,
    dense: Mapping[str, torch.Tensor],
    rows: Mapping[str, LearnedRows],
) -> Manifest:
    """Write a bundle to the folder `out`, whole or not at all; one that is there is replaced."""
    with whole_folder(out) as writing:
        save_file(dict(dense), writing / DENSE)
        tensors = {
            f"{name}/{field}": tensor.contiguous()
            for name, part in rows.items()
            for field, tensor in (("keys", part.keys), ("vectors", part.vectors))
        }
        save_file(tensors, writing / TABLES)
        content: dict[str, Any] = {
            "format": FORMAT,
            "ranker": ranker,
            "schema_": schema.model_dump(mode="json"),
            "model": model.model_dump(mode="json"),
            "seed": seed,
            "max_history": max_history,
            "id_types": id_types,
            "metrics": metrics,
            "trained_steps": trained_steps,
            "sha256": {name: sha256(writing / name) for name in (DENSE, TABLES)},
        }
        # As it will be read: JSON has no NaN, and a metric may be one.
        written = json.loads(Manifest(version="", **content).model_dump_json())
        manifest = Manifest(**written | {"version": _version(written)})
        (writing / MANIFEST).write_text(manifest.model_dump_json(indent=1))
    return manifest


def load_bundle(folder: Path) -> Bundle:
    """Check a bundle's hashes and build its ranker, in evaluation mode.

    Raises BundleError naming the file that is missing, altered, or of another format.
    """
    manifest = read_manifest(folder)
    for name in (DENSE, TABLES):
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path}: missing, though a bundle needs it")
        if sha256(path) != manifest.sha256.get(name):
            raise BundleError(f"{path}: its content is not what {MANIFEST} says")
    try:
        dense, tensors = load_file(folder / DENSE), load_file(folder / TABLES)
    except SafetensorError as error:
        raise BundleError(f"{folder}: {error}") from None
    try:
        schema = Schema.model_validate(manifest.schema_)
        model = parse_model_config(manifest.model)
    except ValidationError as error:
        raise BundleError(f"{folder / MANIFEST}: {'; '.join(faults(error))}") from None
    rows = {
        name: LearnedRows(tensors[f"{name}/keys"], tensors[f"{name}/vectors"])
        for name in schema.tables
    }
    try:
        ranker = restore_ranker(schema, model, manifest.seed, dense, rows)
    except WeightsError as error:
        raise BundleError(f"{folder / DENSE}: {error}") from None
    return Bundle(manifest, schema, ranker)


def read_manifest(folder: Path) -> Manifest:
    """A bundle's manifest. Raises BundleError where there is none that this version can read."""
    path = folder / MANIFEST
    if not path.is_file():
        raise BundleError(f"{folder}: not a bundle: it has no {MANIFEST}; run jobs/export.py")
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BundleError(f"{path}: expected format {FORMAT}")
    if content.get("version") != _version(content):
        raise BundleError(f"{path}: its content is not what its version says")
    try:
        return parse(Manifest, content, str(path))
    except ConfigError as error:
        raise BundleError(str(error)) from None


def restore_ranker(
    schema: Schema,
    model: ModelConfig,
    seed: int,
    dense: Mapping[str, torch.Tensor],
    rows: Mapping[str, LearnedRows],
) -> Ranker:
    """A trained ranker on local tables, in evaluation mode, without gradients.

    Raises WeightsError where `dense` is not of the model that the config describes.
    """
    tables = LocalTables.of_rows(schema.tables, dict(rows), init_std=model.embedding_std, seed=seed)
    ranker = build_model(schema, model, tables, scales={})
    ranker.load_dense(dense)
    return ranker.eval().requires_grad_(False)


def _version(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "version"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:12]
