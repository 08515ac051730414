"""What leaves training comes back as it was, or not at all."""

import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from rayrank.embedding.tables import LearnedRows
from rayrank.errors import BundleError
from rayrank.infer import bundle as bundle_module
from rayrank.infer.bundle import DENSE, MANIFEST, TABLES, load_bundle, read_manifest
from rayrank.schema import Schema, Task

from ..model.rows import SCHEMA, jagged
from .bundles import CONFIGS, REFERENCE, USERS, frozen, learned, trained, write

NO_SHARES = {"edges": [1.0], "shares": [1.0]}
KINDS = pytest.mark.parametrize("kind", list(CONFIGS))


def poisoned(*_args: object, **_kwargs: object) -> None:
    raise AssertionError("unpickled")


@KINDS
def test_a_loaded_ranker_scores_as_the_trained_one(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ranker, batch = trained(kind), jagged(USERS)
    exact = ranker(batch)
    manifest = write(tmp_path, ranker, kind)
    folder = tmp_path / manifest.version
    # Before the poison: Numba reads loops that this machine has kept with pickle.
    ranker.tables = frozen(ranker, kind)
    in_memory = ranker(batch)
    for module, name in (
        (pickle, "load"),
        (pickle, "loads"),
        (torch, "load"),
        (torch.serialization, "load"),
    ):
        monkeypatch.setattr(module, name, poisoned)
    loaded = load_bundle(folder)
    scored = loaded.ranker(batch)
    torch.testing.assert_close(scored, exact, atol=5e-3, rtol=5e-3)
    assert torch.equal(scored, in_memory)
    assert loaded.manifest == manifest == read_manifest(folder)
    assert loaded.schema == SCHEMA
    assert loaded.manifest.reference == REFERENCE
    assert not loaded.ranker.training
    assert not any(p.requires_grad for p in loaded.ranker.parameters())


def test_tables_are_mapped_and_not_read(tmp_path: Path) -> None:
    """What replicas of a host share: pages of the file."""
    manifest = write(tmp_path, trained("mtgr"), "mtgr")
    loaded = load_bundle(tmp_path / manifest.version)
    path = str(tmp_path / manifest.version / TABLES)
    spans = [
        tuple(int(end, 16) for end in line.split()[0].split("-"))
        for line in Path("/proc/self/maps").read_text().splitlines()
        if line.endswith(path)
    ]
    buffers = loaded.ranker.named_buffers()
    tables = {name: tensor for name, tensor in buffers if name.startswith("tables.")}
    assert len(tables) == 2 * len(SCHEMA.tables)
    for name, tensor in tables.items():
        assert any(first <= tensor.data_ptr() < last for first, last in spans), name


def test_a_table_is_the_same_whatever_rank_held_which_row(tmp_path: Path) -> None:
    ranker = trained("mtgr")
    rows = learned(ranker)
    backwards = {n: LearnedRows(of.keys.flip(0), of.vectors.flip(0)) for n, of in rows.items()}
    first = write(tmp_path / "a", ranker, "mtgr")
    assert write(tmp_path / "b", ranker, "mtgr", rows=backwards).version == first.version


def test_a_version_names_everything_in_it(tmp_path: Path) -> None:
    ranker = trained("mtgr")
    first = write(tmp_path / "a", ranker, "mtgr")
    assert write(tmp_path / "b", ranker, "mtgr").version == first.version
    assert len(first.version) == 12
    others = [
        write(tmp_path / "c", trained("mtgr", 1), "mtgr"),
        write(tmp_path / "d", ranker, "mtgr", trained_steps=13),
        write(tmp_path / "e", ranker, "mtgr", metrics={"click": {"auc": 0.5}}),
        write(tmp_path / "f", ranker, "mtgr", reference=REFERENCE.model_copy(update={"rows": 5})),
    ]
    assert len({first.version, *(m.version for m in others)}) == 5


def test_metrics_that_are_not_numbers_and_durations_survive(tmp_path: Path) -> None:
    schema: Schema = SCHEMA.model_copy(
        update={
            "tasks": {
                "click": Task(label="click"),
                "order": Task.model_validate(
                    {"event": "order", "within": "10m", "after": "click", "given": "click"}
                ),
            }
        }
    )
    manifest = write(
        tmp_path, trained("dlrm"), "dlrm", schema=schema, metrics={"click": {"auc": math.nan}}
    )
    loaded = load_bundle(tmp_path / manifest.version)
    assert loaded.schema == schema
    assert loaded.manifest.metrics == {"click": {"auc": None}}


@pytest.mark.parametrize("name", [DENSE, TABLES, MANIFEST])
def test_an_altered_byte_is_found(name: str, tmp_path: Path) -> None:
    folder = tmp_path / write(tmp_path, trained("dlrm"), "dlrm").version
    path = folder / name
    content = bytearray(path.read_bytes())
    # Of the last weight, or of the number of steps.
    place = content.index(b'"trained_steps": 12') + 18 if name == MANIFEST else len(content) - 1
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=name):
        load_bundle(folder)


@pytest.mark.parametrize("name", [DENSE, TABLES, MANIFEST])
@pytest.mark.parametrize("how", ["missing", "cut", "empty", "a folder"])
def test_a_file_that_is_not_whole_is_named(name: str, how: str, tmp_path: Path) -> None:
    folder = tmp_path / write(tmp_path, trained("dlrm"), "dlrm").version
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes(content[: len(content) // 2] if how == "cut" else b"")
    with pytest.raises(BundleError, match=name):
        load_bundle(folder)


@pytest.mark.parametrize(
    "content",
    [
        b"not json",
        b"\xff\xfe\x00",
        b"[1]",
        b'"text"',
        b"null",
        b'{"format": 1}',
        b"{}",
        b"[" * 100_000,
        b'{"format": 2}',
        b'{"format": 2, "version": "000000000000"}',
    ],
)
def test_a_manifest_that_is_none_is_named(content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / write(tmp_path, trained("dlrm"), "dlrm").version
    (folder / MANIFEST).write_bytes(content)
    for read in (load_bundle, read_manifest):
        with pytest.raises(BundleError, match=MANIFEST):
            read(folder)


def rewrite(folder: Path, **changes: Any) -> None:
    """A manifest of another rayrank: consistent in itself."""
    path = folder / MANIFEST
    content = json.loads(path.read_text()) | changes
    content = {k: v for k, v in content.items() if v is not None}
    content["version"] = bundle_module._version(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 5}, "expected format 6"),
        ({"format": 7}, "expected format 6"),
        ({"trained_steps": None}, "trained_steps: missing"),
        ({"extra": 1}, "extra: unknown key"),
        ({"reference": None}, "reference: missing"),
        (
            {"reference": REFERENCE.model_dump() | {"numbers": {"profile.age": NO_SHARES}}},
            "reference.numbers.profile.age: .*one more than edges",
        ),
        ({"model": {"kind": "gpt"}}, "kind"),
        ({"schema_": {"name": "x"}}, "features"),
        ({"sha256": {}}, DENSE),
        ({"sha256": {"../../etc/passwd": "0"}}, DENSE),
    ],
)
def test_a_bundle_of_another_version_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / write(tmp_path, trained("dlrm"), "dlrm").version
    rewrite(folder, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(folder)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    ranker = trained("dlrm")
    dense = ranker.dense_state()
    gone = dense.pop("mlp.0.bias")
    manifest = write(tmp_path, ranker, "dlrm", dense=dense | {"mlp.9.bias": gone})
    folder = tmp_path / manifest.version
    with pytest.raises(BundleError, match=r"missing .*mlp.0.bias.*unexpected .*mlp.9.bias"):
        load_bundle(folder)


def test_no_bundle_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere: not a bundle.*jobs/export.py"):
        load_bundle(tmp_path / "nowhere")


def test_bundles_lie_side_by_side(tmp_path: Path) -> None:
    first = write(tmp_path, trained("mtgr"), "mtgr")
    second = write(tmp_path, trained("dlrm"), "dlrm")
    assert sorted(os.listdir(tmp_path)) == sorted([first.version, second.version])
    for manifest in (first, second):
        assert load_bundle(tmp_path / manifest.version).manifest == manifest


def test_what_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / write(tmp_path, trained("mtgr"), "mtgr").version
    before = {path: path.stat() for path in folder.iterdir()}
    write(tmp_path, trained("mtgr"), "mtgr")
    after = {path: path.stat() for path in folder.iterdir()}
    assert {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in after.items()} == {
        path: (stat.st_ino, stat.st_mtime_ns) for path, stat in before.items()
    }


def test_a_write_that_fails_leaves_the_old_bundle(tmp_path: Path) -> None:
    first = write(tmp_path, trained("mtgr"), "mtgr")
    shared = torch.zeros(4)
    for other in ({"metrics": {"click": object()}}, {"dense": {"a": shared, "b": shared}}):
        with pytest.raises(Exception, match=r"serializ|memory"):
            write(tmp_path, trained("dlrm"), "dlrm", **other)
        assert os.listdir(tmp_path) == [first.version]
        assert load_bundle(tmp_path / first.version).manifest == first


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[1])
from tests.infer import bundles
from rayrank.infer.bundle import MANIFEST
from pathlib import Path
replace = Path.replace

def killed(path, target):
    if path.name == MANIFEST:
        os._exit(9)
    return replace(path, target)

Path.replace = killed
bundles.write(Path(sys.argv[2]), bundles.trained("dlrm"), "dlrm")
"""


def test_a_killed_write_leaves_the_old_bundle_and_none_of_its_own(tmp_path: Path) -> None:
    """Killed before the last file, which says that all are there."""
    first = write(tmp_path, trained("mtgr"), "mtgr")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 9, done.stderr
    assert load_bundle(tmp_path / first.version).manifest == first
    (cut,) = {path.parent for path in tmp_path.glob("[!.]*/*")} - {tmp_path / first.version}
    assert sorted(os.listdir(cut)) == [DENSE, TABLES]
    with pytest.raises(BundleError, match=f"not a bundle: it has no {MANIFEST}"):
        load_bundle(cut)

    second = write(tmp_path, trained("dlrm"), "dlrm")
    assert tmp_path / second.version == cut
    assert load_bundle(cut).manifest == second
