"""What a person sees of a job: bars on a terminal, lines in a log, errors that can be read."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from rayrank.errors import RayrankError

console = Console(stderr=True)
LINE_EVERY_S = 5.0


class TellingWatch(Protocol):
    """A `Watch` that can be told more."""

    def __call__(self, done: int, of: int, told: str = "") -> None: ...


def say(text: str) -> None:
    """One line, as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def readable_errors() -> Iterator[None]:
    """RayrankError ends the process with its message and status 2; faults of ours keep their
    traceback."""
    try:
        yield
    except RayrankError as error:
        console.print(f"[bold red]error[/] {type(error).__name__}:", highlight=False)
        say(str(error))
        sys.exit(2)


@contextmanager
def watching(what: str) -> Iterator[TellingWatch]:
    """How far `what` is: call what this yields with (done, of), or also with what else is to be
    told of it. A bar on a terminal; elsewhere a line every few seconds."""
    if not console.is_terminal:
        yield _Lines(what)
        return
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=36),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with _Bar(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)

        def watch(done: int, of: int, told: str = "") -> None:
            progress.told = told
            progress.update(task, completed=done, total=of)

        yield watch


class _Bar(Progress):
    """A bar, and under it what else is told."""

    told = ""

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        if self.told:
            yield Text(self.told, style="dim")


class _Lines:
    """A line of progress now and then: at the first news, every few seconds, at the end."""

    def __init__(self, what: str) -> None:
        self.what, self.begun, self.said_at, self.done = what, time.monotonic(), 0.0, -1

    def __call__(self, done: int, of: int, told: str = "") -> None:
        now = time.monotonic()
        if done != self.done and (done == of or now - self.said_at >= LINE_EVERY_S):
            share, seconds = done / max(of, 1), now - self.begun
            more = f": {told}" if told else ""
            say(f"{self.what}: {done:,} of {of:,} ({share:.0%}), {seconds:.0f} s{more}")
            self.said_at, self.done = now, done
