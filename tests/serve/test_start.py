"""What is looked at before a replica starts: every byte of the bundle, the key, the port."""

import socket
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ray import serve
from rayrank.errors import BundleError, RayrankError
from rayrank.infer.bundle import DENSE, MANIFEST, TABLES, Manifest, read_manifest
from rayrank.serve import local
from rayrank.serve.app import build_app
from rayrank.serve.config import RankingArgs
from rayrank.serve.keys import KEY_VARIABLE
from rayrank.serve.local import local_api_key, running_app
from rayrank.versions import CURRENT, name_version

from ..clusters import API_KEY
from ..effort import examples
from ..infer.bundles import trained, write


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bundles, of which the first is current."""
    bundles = tmp_path_factory.mktemp("start") / "bundles"
    current, _ = (write(bundles, trained("dlrm", seed), "dlrm") for seed in range(2))
    name_version(bundles, CURRENT, current.version)
    return bundles


def told(bundles: Path, version: str = CURRENT) -> str:
    """Where the application that is built will look for its bundles."""
    app = build_app(RankingArgs(bundles=str(bundles), version=version), API_KEY)
    return str(app._bound_deployment.init_args[0]["bundles"])


def test_replicas_elsewhere_are_told_the_whole_path(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bundles.parent)
    assert told(Path("bundles")) == str(bundles)


def reads_alike(folder: Path, manifest: Manifest) -> bool:
    """Whether it is the same manifest, written otherwise: 1e-17 and 1E-17 are one number."""
    try:
        return read_manifest(folder) == manifest
    except BundleError:
        return False


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
@pytest.mark.parametrize("name", [DENSE, TABLES, MANIFEST])
def test_a_flipped_bit_anywhere_is_refused(bundles: Path, name: str, data: st.DataObject) -> None:
    folder = next(path for path in sorted(bundles.iterdir()) if path.is_dir())
    manifest, path = read_manifest(folder), folder / name
    whole = path.read_bytes()
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    content = bytearray(whole)
    content[place] ^= 1 << bit
    path.write_bytes(content)
    try:
        if name == MANIFEST and reads_alike(folder, manifest):
            return
        with pytest.raises(BundleError, match=name):
            told(bundles, version=folder.name)
    finally:
        path.write_bytes(whole)


def test_no_version_or_none_that_is_current_is_refused(bundles: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no version is current; run jobs/check\.py and jobs/pr"):
        told(tmp_path)
    version = write(tmp_path, trained("dlrm"), "dlrm").version
    with pytest.raises(BundleError, match=rf"no version is current \(there are {version}\); run"):
        told(tmp_path)
    told(tmp_path, version=version)
    with pytest.raises(BundleError, match=r"0123456789ab: not a bundle: it has no manifest\.json"):
        told(bundles, version="0123456789ab")


def test_a_key_is_made_once_for_its_owners_eyes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    path = tmp_path / "run" / "api-key"
    key = local_api_key(path)
    assert len(key) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert local_api_key(path) == key
    assert local_api_key(tmp_path / "other") != key
    monkeypatch.setenv(KEY_VARIABLE, "k" * 16)
    assert local_api_key(path) == "k" * 16
    assert path.read_text() == key
    monkeypatch.setenv(KEY_VARIABLE, "k" * 15)
    with pytest.raises(RayrankError, match=f"set {KEY_VARIABLE} to a secret of at least 16"):
        local_api_key(path)


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])
def taken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port on which somebody listens already, whom some of our requests would reach."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((request.param, 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_port_that_is_taken_is_passed_over(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PORT", taken)
    free = local._free_port()
    assert free not in (0, taken)
    with socket.socket() as probe:
        probe.bind((local.HOST, free))


def test_the_port_that_is_wanted_is_taken_where_it_is_free(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "PORT", taken)
    other = local._free_port()
    monkeypatch.setattr(local, "PORT", other)
    assert local._free_port() == other


def test_applications_share_the_port_of_the_serve_that_runs(
    ray_cluster: None, bundles: Path
) -> None:
    """Two at once, on the Serve of the first, which ends with it: others want their own."""
    serve.shutdown()  # of one that an earlier test left
    args = RankingArgs(bundles=str(bundles))

    def app(name: str) -> AbstractContextManager[str]:
        return running_app(args, API_KEY, name, f"/{name}", shared=True)

    with app("one") as one, app("two") as two:
        assert (one.rsplit("/", 1)[0], one[-4:], two[-4:]) == (
            two.rsplit("/", 1)[0],
            "/one",
            "/two",
        )
        for url in (one, two):
            assert httpx.get(f"{url}/healthz").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{one}/healthz")
