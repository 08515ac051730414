"""Who may ask: holders of one of several keys, which change while an endpoint runs."""

import hmac
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from rayrank.errors import RayrankError

logger = logging.getLogger("ray.serve")

KEY_VARIABLE = "RAYRANK_API_KEY"
FILE_VARIABLE = "RAYRANK_API_KEY_FILE"
"""Instead: the path of a file of keys, for an environment that holds no secret."""
SHORTEST = 16


class Keys:
    """The keys that are valid now."""

    def __init__(self, keys: Sequence[str] = (), file: str | None = None) -> None:
        """keys: some that stay. file: one on each line, read again whenever it changes: a key is
        exchanged by adding the new one, and removing the old one once nobody sends it.

        Raises RayrankError where a file holds none, or a key is too short."""
        self._file = file
        # Before it is read: one that changes meanwhile is read again.
        self._changed_at = None if file is None else _changed_at(file)
        self._keys = [sound(key, KEY_VARIABLE) for key in keys] if file is None else _read(file)

    def allow(self, authorization: str) -> bool:
        """Whether a header `Authorization` has one of them. It takes as long for each key."""
        self._look()
        sent = authorization.encode()
        equal = [hmac.compare_digest(sent, f"Bearer {key}".encode()) for key in self._keys]
        return any(equal)

    def _look(self) -> None:
        if self._file is None:
            return
        try:
            changed = _changed_at(self._file)
            if changed == self._changed_at:
                return
            self._keys, self._changed_at = _read(self._file), changed
            logger.info("%s: %d keys are valid now", self._file, len(self._keys))
        except (OSError, RayrankError) as error:
            # Between two versions of a mounted file there may be none. The next request looks.
            logger.error("the keys stay as they were: %s", error)


def keys_file_of_environment() -> str | None:
    """The file of keys that the environment names."""
    return os.environ.get(FILE_VARIABLE) or None


def key_of_environment() -> str:
    """The first key of the file that the environment names, or else the one it holds. RayrankError
    unless there is one."""
    if (file := keys_file_of_environment()) is not None:
        return _read(file)[0]
    return sound(os.environ.get(KEY_VARIABLE, ""), KEY_VARIABLE)


def sound(key: str, where: str) -> str:
    """The key, if it is one. Raises RayrankError."""
    if len(key) < SHORTEST:
        raise RayrankError(
            f"set {where} to a secret of at least {SHORTEST} characters; clients send it as "
            "'Authorization: Bearer …'"
        )
    return key


def _read(file: str) -> list[str]:
    try:
        lines = Path(file).read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise RayrankError(f"{file}: keys cannot be read: {error}") from None
    if not lines:
        raise RayrankError(f"{file}: holds no key; expected one on each line")
    return [sound(line, f"{file}, line {number}") for number, line in enumerate(lines, 1)]


def _changed_at(file: str) -> int | None:
    """None where there is no such file, which reading it will tell."""
    try:
        # Kubernetes exchanges a link to the folder of a mounted secret: the file is then another.
        found = os.stat(file)
    except OSError:
        return None
    return hash((found.st_mtime_ns, found.st_ino, found.st_size))
