"""A training run with its progress: rank 0 keeps a journal, and this reads it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rayrank.run.in_words import epoch_in_words, recent, steps_in_words
from rayrank.run.terminal import TellingWatch, say, watching
from rayrank.storage import AnyPath
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import Reader

POLL_S = 1.0
PATIENCE_S = 10.0
"""Without a step for so long, what training waits for is said, and again after twice as long."""


@contextmanager
def watched(folder: AnyPath, what: str, lacking: Callable[[], str | None]) -> Iterator[None]:
    """Show how far the training run in `folder` is, and what its workers note, while it runs.

    lacking: what its workers wait for, if they do.
    """
    over = threading.Event()
    with watching(what) as watch:
        teller = _Teller(folder, what, watch, lacking)

        def follow() -> None:
            finished = False
            while not finished:
                finished = over.wait(POLL_S)
                teller.tell(finished)

        watcher = threading.Thread(target=follow)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


class _Teller:
    """Says what is new in a journal since it was last read, and why nothing is."""

    def __init__(
        self, folder: AnyPath, what: str, watch: TellingWatch, lacking: Callable[[], str | None]
    ) -> None:
        self.what, self.watch, self.lacking = what, watch, lacking
        self.journal = Reader(folder / JOURNAL)
        story = self.journal.read()
        self.notes, self.steps = len(story.notes), len(story.steps)
        self.epochs = len(story.epochs)
        self.since, self.patience = time.monotonic(), PATIENCE_S

    def tell(self, finished: bool) -> None:
        story = self.journal.read()
        for note in story.notes[self.notes :]:
            say(f"{self.what}: {note.text}")
        self.notes = max(self.notes, len(story.notes))
        for epoch in story.epochs[self.epochs :]:
            say(f"{self.what}: {epoch_in_words(epoch)}")
        self.epochs = len(story.epochs)  # fewer after a resume that ends one again
        if len(story.steps) != self.steps:
            self.steps = len(story.steps)
            self.since, self.patience = time.monotonic(), PATIENCE_S
            if story.steps:
                last = story.steps[-1]
                self.watch(last.batches, last.of, steps_in_words(recent(story.steps)))
        elif not finished and time.monotonic() - self.since > self.patience:
            short = self.lacking()
            if short is not None:
                say(f"{self.what}: waiting: {short}")
                self.patience *= 2
