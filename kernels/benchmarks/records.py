"""What a measurement leaves behind: a row in a file as soon as it is there, whatever comes after.

A machine with a GPU is lent for minutes and may be taken away at any of them; one kernel that does
not fit it must not cost what the others would have told.
"""

import argparse
import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

Row = Mapping[str, object]
# What a row says beside the machine's facts, and how wide that is printed.
COLUMNS = {
    "name": 35,
    "shape": 34,
    "dtype": 8,
    "microseconds": 12,
    "tflops": 6,
    "of_limit": 8,
    "over_published": 14,
    "failed": 6,
}


class Record:
    """Times things, prints each row and appends it to a CSV file."""

    def __init__(self, path: Path, about: Row) -> None:
        """``about`` is what all rows share: the machine's facts."""
        self.path = path
        self.failed = 0
        self._about = about
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            self._append([*about, *COLUMNS])
        print("  ".join(f"{name}: {value}" for name, value in about.items()))
        _print(COLUMNS)

    def time(
        self,
        name: str,
        shape: str,
        dtype: str,
        measure: Callable[[], float],
        *,
        flops: float = 0.0,
        least_s: float = 0.0,
        published_s: float = 0.0,
    ) -> None:
        """``measure`` gives seconds. What it is held against may be unknown, and is 0 then: its
        work, the least time this machine could take, the time that someone published."""
        with self.go_on(name, shape, dtype):
            took = measure()
            self._add(
                {
                    "name": name,
                    "shape": shape,
                    "dtype": dtype,
                    "microseconds": round(took * 1e6, 1),
                    "tflops": round(flops / took / 1e12, 1) if flops else "",
                    "of_limit": round(least_s / took, 3) if least_s else "",
                    "over_published": round(published_s / took, 2) if published_s else "",
                }
            )

    @contextmanager
    def go_on(self, name: str, shape: str, dtype: str) -> Iterator[None]:
        """What fails inside becomes a row that says why, and the measurements after it go on."""
        try:
            yield
        except Exception as error:
            self.failed += 1
            self._add({"name": name, "shape": shape, "dtype": dtype, "failed": in_a_line(error)})

    def _add(self, row: Row) -> None:
        cells = [row.get(column, "") for column in COLUMNS]
        _print(cells)
        self._append([*self._about.values(), *cells])

    def _append(self, cells: Sequence[object]) -> None:
        """Opens and closes the file: nothing waits in a buffer."""
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(cells)


def _print(cells: Iterable[object]) -> None:
    padded = (str(cell).ljust(width) for cell, width in zip(cells, COLUMNS.values(), strict=True))
    print("  ".join(padded).rstrip(), flush=True)


def in_a_line(error: Exception) -> str:
    """Compilers' errors have pages; their first words say what it was."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def out_folder(description: str | None, arguments: Sequence[str] | None = None) -> Path | None:
    """Where the command line's --out says, else the environment's OUT, else nowhere."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=os.environ.get("OUT") or None,
        help="the folder for what is measured (default: the environment's OUT, if set)",
    )
    out: Path | None = parser.parse_args(arguments).out
    return out
