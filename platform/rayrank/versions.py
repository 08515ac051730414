"""Versions: what was made from different things lies side by side, and nothing is overwritten.

FOLDER/<version>/made-from.json    what it was made from; <version> is its fingerprint
FOLDER/current                     the name of the version that others follow
FOLDER/exported                    of the one that was made last, where that is not the same
FOLDER/previous                    of the one that was current before
FOLDER/canary                      of one that a share of the users gets, and the share
FOLDER/shadow                      of one that does what the current one does, for nobody
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from rayrank.errors import VersionError
from rayrank.storage import AnyPath, files_in, fingerprint, read_whole, write_whole

MADE_FROM, CURRENT, EXPORTED = "made-from.json", "current", "exported"
PREVIOUS, CANARY, SHADOW = "previous", "canary", "shadow"
MOST_SHOWN = 12
"""Differences that a refusal lists."""

MadeFrom = dict[str, Any]
"""What something was made from, as JSON has it: fingerprints of content and the config's keys."""


class Shared(NamedTuple):
    """A version, and the share of the users that gets it."""

    version: str
    share: float


def version_folder(folder: AnyPath, made_from: MadeFrom) -> AnyPath:
    """Where the version that is made from exactly this lies, whether it is there or not."""
    return folder / fingerprint(made_from)


def claim(folder: AnyPath, made_from: MadeFrom, *, new: bool, counts: str = MADE_FROM) -> AnyPath:
    """The folder of the version that is made from exactly this: the one there is, or a new one.

    A new one beside others (those that hold the file `counts`) is made only if `new` says so.
    Otherwise VersionError says what is different, and nothing is changed.
    """
    version = version_folder(folder, made_from)
    others = versions(folder, counts)
    if others and not (version / MADE_FROM).exists() and not new:
        how = "Say --new to make a new version beside it, or name another run_dir"
        raise _of_something_else(folder, others, made_from, how)
    if not (version / MADE_FROM).exists():
        write_whole(version / MADE_FROM, json.dumps(made_from, indent=1))
    return version


def require(folder: AnyPath, made_from: MadeFrom, how: str) -> AnyPath:
    """The folder of a version that must be there. VersionError says what is there instead, and
    `how` to make it."""
    version = version_folder(folder, made_from)
    others = versions(folder)
    if version.name in others:
        return version
    if not others:
        raise VersionError(f"{folder}: nothing there yet; {how}")
    raise _of_something_else(folder, others, made_from, how)


def versions(folder: AnyPath, counts: str = MADE_FROM) -> list[str]:
    """The versions in a folder that hold the file `counts`."""
    return [path.parent.name for path in files_in(folder, f"*/{counts}")]


def made_from(version: AnyPath) -> MadeFrom:
    """What a version says it was made from."""
    content: MadeFrom = json.loads((version / MADE_FROM).read_text())
    return content


def name_version(folder: AnyPath, name: str, version: str) -> None:
    """Make `name` (CURRENT, EXPORTED, …) stand for a version from now on; atomic."""
    _write_name(folder / name, {"version": version})


def named_version(folder: AnyPath, name: str) -> str | None:
    """The version that a name stands for; None where it was never given.

    VersionError for a file that names none.
    """
    path = folder / name
    content = _read_name(path)
    return None if content is None else _version_in(content, path, '{"version": "…"}')


def name_canary(folder: AnyPath, canary: Shared) -> None:
    """Make a version CANARY from now on; atomic. VersionError for a share that is none."""
    if not 0 < canary.share < 1:
        raise VersionError(f"canary: expected a share between 0 and 1, found {canary.share}")
    _write_name(folder / CANARY, canary._asdict())


def named_canary(folder: AnyPath) -> Shared | None:
    """The version that is CANARY, and its share; None where none is.

    VersionError for a file that names none, or a share that is not between 0 and 1.
    """
    path, expected = folder / CANARY, '{"version": "…", "share": a number between 0 and 1}'
    content = _read_name(path)
    if content is None:
        return None
    version, share = _version_in(content, path, expected), content.get("share")
    if not (isinstance(share, float) and 0 < share < 1):
        raise VersionError(f"{path}: expected {expected}")
    return Shared(version, share)


def end_name(folder: AnyPath, name: str) -> None:
    """Make a name stand for nothing from now on, whatever it stood for."""
    (folder / name).unlink(missing_ok=True)


def _write_name(path: AnyPath, content: dict[str, Any]) -> None:
    write_whole(path, json.dumps(content) + "\n")


def _read_name(path: AnyPath) -> dict[str, Any] | None:
    """What a name's file holds ({} unless it is a mapping in JSON); None where there is none."""
    try:
        content = json.loads(read_whole(path))
    except FileNotFoundError:
        return None
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {}


def _version_in(content: dict[str, Any], path: AnyPath, expected: str) -> str:
    version = content.get("version")
    if not isinstance(version, str):
        raise VersionError(f"{path}: expected {expected}")
    return version


def differences(old: MadeFrom, new: MadeFrom) -> list[str]:
    """A line for each key that differs, dotted, with both values."""
    before, after = dict(_flat(old)), dict(_flat(new))
    lines = []
    for key in [*before, *(key for key in after if key not in before)]:
        one, other = before.get(key, "(absent)"), after.get(key, "(absent)")
        if one != other:
            lines.append(f"  {key}: {_short(one)} -> {_short(other)}")
    return lines


def _of_something_else(
    folder: AnyPath, others: list[str], wanted: MadeFrom, how: str
) -> VersionError:
    """What differs from the nearest of the versions that are there, and how to go on."""
    listed = ", ".join(others)
    there = f"version {listed}," if len(others) == 1 else f"versions {listed}, all"
    lines = min((differences(made_from(folder / other), wanted) for other in others), key=len)
    more = len(lines) - MOST_SHOWN
    shown = lines[:MOST_SHOWN] + ([f"  and {more} more"] if more > 0 else [])
    return VersionError(
        "\n".join([f"{folder}: holds {there} made from something else:", *shown, how])
    )


def _flat(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict) and content:
        for name, value in content.items():
            yield from _flat(value, f"{key}.{name}" if key else str(name))
    else:
        yield key, content


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
