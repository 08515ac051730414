"""User rows in pieces, each read and scored at once by one of Ray Data's actors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.exceptions

from rayrank.errors import DataError, RayrankError
from rayrank.storage import AnyPath, absolute, arrow_place, place

PIECE_ROWS = 2048
"""At most, where the file's row groups are not larger: one is never cut."""


class Piece(NamedTuple):
    """Some row groups of one file of user rows."""

    number: int
    file: str
    """Its path or URI."""
    row_groups: list[int]
    rows: int

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """Its rows: some columns of them, all unless said. Raises DataError where what the file's
        footer promises cannot be read."""
        filesystem, name = arrow_place(place(self.file))
        try:
            with filesystem.open_input_file(name) as source:
                return pq.ParquetFile(source).read_row_groups(self.row_groups, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(f"{self.file}: damaged: {error}") from None


def pieces_of(files: list[AnyPath]) -> list[Piece]:
    """All rows of some files, in their order. Reads footers only."""

    def groups_of(path: AnyPath) -> list[int]:
        filesystem, name = arrow_place(path)
        with filesystem.open_input_file(name) as source:
            footer = pq.ParquetFile(source).metadata
        return [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]

    pieces: list[Piece] = []
    with ThreadPoolExecutor() as pool:
        for path, groups in zip(files, pool.map(groups_of, files), strict=True):
            file = str(absolute(path))
            for group, rows in enumerate(groups):
                last = pieces[-1] if pieces else None
                if last is not None and last.file == file and last.rows + rows <= PIECE_ROWS:
                    more = [*last.row_groups, group]
                    pieces[-1] = last._replace(row_groups=more, rows=last.rows + rows)
                elif rows:
                    pieces.append(Piece(len(pieces), file, [group], rows))
    return pieces


def day_in(piece: Piece) -> str:
    """The day of its rows: `SPLIT/DAY/PART.parquet`."""
    return place(piece.file).parent.name


def scored_by(
    scorer: type, told: tuple[Any, ...], pieces: list[Piece], *, workers: int, name: str
) -> Iterator[pa.Table]:
    """What actors make of the pieces, as it comes. scorer(*told) is one; it is called with a
    table of one line, in which `piece_in` finds the piece. name: of the data set. Raises a fault
    of the user's as the scorer did."""
    lines = ray.data.from_items([p._asdict() for p in pieces], override_num_blocks=len(pieces))
    scored = lines.map_batches(
        scorer,
        fn_constructor_args=told,
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(pieces))),
    )
    scored.set_name(name)
    scored.context.raise_original_map_exception = True
    try:
        yield from scored.iter_batches(batch_size=None, batch_format="pyarrow")
        return
    except ray.exceptions.RayTaskError as error:
        if not isinstance(error.cause, RayrankError):
            raise
        message, _, _ = str(error.cause).partition("\nFailed to apply")  # which Ray adds
        fault = type(error.cause)(message.rstrip())
    # Not from inside: Ray's error holds on to the actors, and they to their CPUs.
    raise fault


def piece_in(line: pa.Table) -> Piece:
    """The piece that a scorer is called with."""
    (told,) = line.to_pylist()
    return Piece(**told)
