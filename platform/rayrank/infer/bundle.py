"""A bundle: what leaves training, in a folder named by its version.

    manifest.json        version, schema, ranker config, metrics, id types, SHA-256 of every file
    dense.safetensors    replicated weights
    tables.safetensors   per table: keys int64 [n], vectors float32 [n, dim]

Loading one never unpickles.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError

from rayrank.data.ids import IdTypes
from rayrank.embedding.tables import LearnedRows, LocalTables
from rayrank.errors import BundleError, ConfigError, WeightsError
from rayrank.model.build import build_model, parse_model_config
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.schema import Schema
from rayrank.storage import AnyPath, files_in, new_folder, place, sha256
from rayrank.strict import Strict, faults, parse
from rayrank.tensors import read_tensors, write_tensors
from rayrank.versions import CURRENT, named_version

FORMAT = 4
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
    id_types: IdTypes
    """What ids were in the log: a request that sends the other kind would match nothing."""
    metrics: dict[str, Any]
    made_from: dict[str, str]
    """The versions of rows and ranker, and the checkpoint with its hash."""
    trained_steps: int
    sha256: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """A ranker ready to score on CPU in float32, and what it expects."""

    manifest: Manifest
    schema: Schema
    ranker: Ranker


def write_bundle(
    bundles: AnyPath,
    *,
    ranker: str,
    schema: Schema,
    model: ModelConfig,
    seed: int,
    id_types: IdTypes,
    metrics: dict[str, Any],
    made_from: dict[str, str],
    trained_steps: int,
    dense: Mapping[str, torch.Tensor],
    rows: Mapping[str, LearnedRows],
) -> Manifest:
    """Write a bundle to the folder `bundles/<version>`, whole or not at all.

    The version names its content, so that one that is there already is the same.
    """
    with new_folder(bundles) as writing:
        tensors = {
            f"{name}/{field}": tensor
            for name, part in rows.items()
            for field, tensor in (("keys", part.keys), ("vectors", part.vectors))
        }
        content: dict[str, Any] = {
            "format": FORMAT,
            "ranker": ranker,
            "schema_": schema.model_dump(mode="json"),
            "model": model.model_dump(mode="json"),
            "seed": seed,
            "id_types": id_types,
            "metrics": metrics,
            "made_from": made_from,
            "trained_steps": trained_steps,
            "sha256": {
                DENSE: write_tensors(writing.path / DENSE, dense),
                TABLES: write_tensors(writing.path / TABLES, tensors),
            },
        }
        # As it will be read: JSON has no NaN, and a metric may be one.
        written = json.loads(Manifest(version="", **content).model_dump_json())
        manifest = Manifest(**written | {"version": _version(written)})
        (writing.path / MANIFEST).write_text(manifest.model_dump_json(indent=1))
        writing.publish(bundles / manifest.version, last=MANIFEST)
    return manifest


def load_bundle(folder: str | AnyPath) -> Bundle:
    """Check a bundle's hashes and build its ranker, in evaluation mode.

    folder: `RUN_DIR/bundles/VERSION`, or `RUN_DIR/bundles/current`, at any URI. Raises BundleError
    naming the file that is missing, altered, or of another format.

    >>> load_bundle("runs/demo/bundles/current").schema.tasks  # doctest: +SKIP
    """
    bundles, version = place(folder).parent, place(folder).name
    folder = bundle_folder(bundles, version)
    manifest = verify_bundle(folder)
    try:
        dense, tensors = read_tensors(folder / DENSE), read_tensors(folder / TABLES)
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


def verify_bundle(folder: AnyPath) -> Manifest:
    """Check every byte of a bundle against its hashes. Raises BundleError naming the file."""
    manifest = read_manifest(folder)
    for name in (DENSE, TABLES):
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path}: missing, though a bundle needs it")
        if sha256(path) != manifest.sha256.get(name):
            raise BundleError(f"{path}: its content is not what {MANIFEST} says")
    return manifest


def bundle_folder(bundles: AnyPath, version: str) -> AnyPath:
    """The folder of a version, or of the one that is `current`. BundleError where none is."""
    if version != CURRENT:
        return bundles / version
    followed = named_version(bundles, CURRENT)
    if followed is None:
        there = [path.parent.name for path in files_in(bundles, f"*/{MANIFEST}")]
        raise BundleError(
            f"{bundles}: no version is current"
            + (f" (there are {', '.join(there)})" if there else "")
            + "; run jobs/check.py and jobs/promote.py"
        )
    return bundles / followed


def read_manifest(folder: AnyPath) -> Manifest:
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
