"""Several keys, exchanged while they are in use; and what is none."""

from pathlib import Path

import pytest
from rayrank.errors import RayrankError
from rayrank.serve.app import keys_of
from rayrank.serve.config import RankingArgs
from rayrank.serve.keys import FILE_VARIABLE, KEY_VARIABLE, Keys, key_of_environment
from rayrank.serve.local import local_api_key

from .mounted import Mounted

OLD, NEW, OTHER = "o" * 16, "n" * 20, "x" * 32


def valid(keys: Keys) -> set[str]:
    return {key for key in (OLD, NEW, OTHER) if keys.allow(f"Bearer {key}")}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{OLD}\n")
    return path


def test_any_of_several_is_valid_and_nothing_else() -> None:
    keys = Keys([OLD, NEW])
    assert valid(keys) == {OLD, NEW}
    for sent in (
        "",
        "Bearer ",
        OLD,
        f"bearer {OLD}",
        f"Bearer {OLD} ",
        f"Bearer {OLD[:-1]}",
        "Bearer é",
    ):
        assert not keys.allow(sent), sent


def test_a_key_is_exchanged_without_a_moment_in_which_nobody_may_ask(file: Path) -> None:
    keys = Keys(file=str(file))
    assert valid(keys) == {OLD}
    file.write_text(f"{OLD}\n{NEW}\n")
    assert valid(keys) == {OLD, NEW}
    file.write_text(f"\n  {NEW}\n\n")
    assert valid(keys) == {NEW}


def test_a_mounted_secret_is_exchanged_by_its_link(tmp_path: Path) -> None:
    """As Kubernetes does, with times that are alike."""
    mounted = Mounted(tmp_path / "secret", "api-key", OLD)
    keys = Keys(file=str(mounted.file))
    assert valid(keys) == {OLD}
    mounted.exchange(f"{OLD}\n{NEW}")
    assert valid(keys) == {OLD, NEW}
    mounted.exchange(NEW)
    assert valid(keys) == {NEW}
    mounted.link.unlink()
    assert valid(keys) == {NEW}, "gone for a moment"
    mounted.exchange(OTHER)
    assert valid(keys) == {OTHER}


def test_the_environment_may_name_a_file_and_hold_no_secret(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, OTHER)  # left there, and no longer meant
    monkeypatch.setenv(FILE_VARIABLE, str(file))
    served = keys_of(RankingArgs(bundles="bundles"), None)
    assert served is not None
    assert valid(served) == {OLD}
    file.write_text(f"{NEW}\n{OLD}")
    assert valid(served) == {NEW, OLD}, "it is followed"
    # What sends a key, such as the check of a bundle, sends the first.
    assert key_of_environment() == NEW
    monkeypatch.delenv(KEY_VARIABLE)
    assert local_api_key(tmp_path / "none") == NEW
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(RayrankError, match="none: keys cannot be read"):
        key_of_environment()


def test_a_file_in_args_is_meant_before_the_environments(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "none"))
    keys = keys_of(RankingArgs(bundles="bundles", keys_file=str(file)), None)
    assert keys is not None
    assert valid(keys) == {OLD}


@pytest.mark.parametrize("bad", [b"", b" \n", b"short\n", b"\xff\xfe" * 20])
def test_what_is_no_file_of_keys_changes_none(file: Path, bad: bytes) -> None:
    keys = Keys(file=str(file))
    file.write_bytes(bad)
    assert valid(keys) == {OLD}
    file.write_text(NEW)
    assert valid(keys) == {NEW}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "holds no key; expected one on each line"),
        (f"{OLD}\nshort\n".encode(), "line 2 to a secret of at least 16"),
        (b"\xff\xfe" * 20, "cannot be read"),
    ],
)
def test_to_begin_with_it_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RayrankError, match=message):
        Keys(file=str(path))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(RayrankError, match=f"set {KEY_VARIABLE} to a secret of at least 16"):
        Keys([OLD[:-1]])
