"""A bundle: what leaves training, in a folder named by its version.

    manifest.json        version, schema, ranker config, metrics, id types, SHA-256 of every file
    dense.safetensors    replicated weights
    tables.safetensors   per table: its places keys int64 [n], what stands in an empty one and how
                         far a key may be from its own, int64 [2], vectors float16 [n + 1, dim]

Loading one never unpickles. Tables are not read but mapped into memory, once for all processes of a
host.
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

from rayrank.data.ids import IdTypes
from rayrank.embedding.buckets import Buckets
from rayrank.embedding.frozen import FrozenTable, FrozenTables, freeze
from rayrank.embedding.tables import LearnedRows, Tables
from rayrank.errors import BundleError, ConfigError, WeightsError
from rayrank.infer.drift import Reference
from rayrank.infer.ranges import Ranges
from rayrank.model.build import build_model, parse_model_config
from rayrank.model.ranker import ModelConfig, Ranker
from rayrank.schema import Schema
from rayrank.storage import AnyPath, copy_on_this_host, files_in, new_folder, place, sha256
from rayrank.strict import Strict, faults, parse
from rayrank.tensors import read_tensors, write_tensors
from rayrank.versions import CURRENT, named_version

FORMAT = 6
MANIFEST, DENSE, TABLES = "manifest.json", "dense.safetensors", "tables.safetensors"


class Manifest(Strict):
    """What a bundle says of itself."""

    format: int
    version: str
    """The first 12 hex digits of a hash over everything else, weights included."""
    ranker: str
    schema_: dict[str, Any]
    model: dict[str, Any]
    id_types: IdTypes
    """What ids were in the log: a request that sends the other kind would match nothing."""
    ranges: Ranges
    """Beyond which a number counts as the edge of what training saw."""
    reference: Reference
    """How scores and numbers were spread when it was exported: from there drift is told."""
    metrics: dict[str, Any]
    made_from: dict[str, str]
    """The versions of rows and ranker, and the checkpoint with its hash."""
    trained_steps: int
    sha256: dict[str, str]


@dataclass(frozen=True)
class Bundle:
    """A ranker ready to score on a CPU, and what it expects."""

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
    ranges: Ranges,
    reference: Reference,
    metrics: dict[str, Any],
    made_from: dict[str, str],
    trained_steps: int,
    dense: Mapping[str, torch.Tensor],
    rows: Mapping[str, LearnedRows],
) -> Manifest:
    """Write a bundle to the folder `bundles/<version>`, whole or not at all.

    rows: what training left of every table, with `seed`, from which ids' first vectors follow. The
    version names its content, so that one that is there already is the same. Raises WeightsError
    for a vector that half precision cannot hold.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name in schema.tables:
        std = model.embedding_std
        frozen = freeze(name, rows[name], init_std=std, seed=seed)
        tensors |= _table_tensors(name, frozen)
    with new_folder(bundles) as writing:
        content: dict[str, Any] = {
            "format": FORMAT,
            "ranker": ranker,
            "schema_": schema.model_dump(mode="json"),
            "model": model.model_dump(mode="json"),
            "id_types": id_types,
            "ranges": ranges,
            "reference": reference,
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
    manifest = read_manifest(folder)
    files = [_checked(folder / name, manifest) for name in (DENSE, TABLES)]
    try:
        dense, tensors = (read_tensors(file) for file in files)
    except SafetensorError as error:
        raise BundleError(f"{folder}: {error}") from None
    try:
        schema = Schema.model_validate(manifest.schema_)
        model = parse_model_config(manifest.model)
    except ValidationError as error:
        raise BundleError(f"{folder / MANIFEST}: {'; '.join(faults(error))}") from None
    tables = FrozenTables({name: _frozen_table(name, tensors) for name in schema.tables})
    try:
        ranker = restore_ranker(schema, model, dense, tables)
    except WeightsError as error:
        raise BundleError(f"{folder / DENSE}: {error}") from None
    return Bundle(manifest, schema, ranker)


def verify_bundle(folder: AnyPath) -> Manifest:
    """Check every byte of a bundle against its hashes. Raises BundleError naming the file."""
    manifest = read_manifest(folder)
    for name in (DENSE, TABLES):
        _checked(folder / name, manifest)
    return manifest


def _checked(path: AnyPath, manifest: Manifest) -> Path:
    """A bundle's file, on this host."""
    if not path.is_file():
        raise BundleError(f"{path}: missing, though a bundle needs it")
    digest = manifest.sha256.get(path.name, "none")
    local = copy_on_this_host(path, digest)
    if sha256(local) != digest:
        if local != path:
            local.unlink(missing_ok=True)  # or it would be found again
        raise BundleError(f"{path}: its content is not what {MANIFEST} says")
    return local


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


def _table_tensors(name: str, table: FrozenTable) -> dict[str, torch.Tensor]:
    buckets = table.buckets
    return {
        f"{name}/keys": buckets.keys,
        f"{name}/empty_reach": torch.tensor([buckets.empty, buckets.reach]),
        f"{name}/vectors": table.vectors,
    }


def _frozen_table(name: str, tensors: Mapping[str, torch.Tensor]) -> FrozenTable:
    empty, reach = tensors[f"{name}/empty_reach"].tolist()
    return FrozenTable(Buckets(tensors[f"{name}/keys"], empty, reach), tensors[f"{name}/vectors"])


def restore_ranker(
    schema: Schema, model: ModelConfig, dense: Mapping[str, torch.Tensor], tables: Tables
) -> Ranker:
    """A trained ranker, in evaluation mode, without gradients.

    Raises WeightsError where `dense` is not of the model that the config describes.
    """
    ranker = build_model(schema, model, tables, scales={})
    ranker.load_dense(dense)
    return ranker.eval().requires_grad_(False)


def _version(content: dict[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "version"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:12]
