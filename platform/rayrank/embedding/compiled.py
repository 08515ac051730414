"""Loops compiled by Numba, once on a machine: what is compiled is kept for later processes.

Every training worker would compile them anew otherwise, for seconds. Numba knows a kept loop by its
own file, and not by those whose functions it calls: so what is kept stands under the digest of this
whole folder, and a loop of other code is never taken for this one.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numba

HERE = Path(__file__).parent
Loop = Callable[..., Any]


def compiled(inline: Literal["never", "always"] = "never") -> Callable[[Loop], Loop]:
    """A decorator for loops: without Python's lock. inline: Numba's."""
    decorator: Callable[[Loop], Loop]
    decorator = numba.njit(nogil=True, cache=KEPT is not None, inline=inline)
    return decorator


def kept_in(caches: Path) -> Path | None:
    """The folder for loops of this code, made; None where none can be (a root that is read-only):
    then every process compiles its own."""
    code = hashlib.sha256()
    for file in sorted(HERE.glob("*.py")):
        code.update(file.read_bytes())
    folder = caches / "rayrank" / f"loops-{code.hexdigest()[:16]}"
    with suppress(OSError):
        # Numba keeps pickles: nobody else may write there.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid():
            return folder
    return None


def kept() -> Path | None:
    """`kept_in` of this user's caches; None for one without a home (as a pod's user may be)."""
    told = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    try:
        return kept_in(Path(told) if told else Path.home() / ".cache")
    except RuntimeError:  # no home
        return None


KEPT = kept()
if KEPT is not None:
    numba.config.CACHE_DIR = str(KEPT)  # type: ignore[attr-defined]  # set as it is imported
