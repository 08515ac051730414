"""A training run with its progress: rank 0 keeps a journal, and this reads it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rayrank.run.terminal import say, watching
from rayrank.storage import AnyPath
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import read_story

POLL_S = 1.0


@contextmanager
def watched(folder: AnyPath, what: str) -> Iterator[None]:
    """Show how far the training run in `folder` is, and what its workers note, while it runs."""
    over = threading.Event()
    with watching(what) as watch:

        def follow() -> None:
            notes = len(read_story(folder / JOURNAL).notes)
            finished = False
            while not finished:
                finished = over.wait(POLL_S)
                story = read_story(folder / JOURNAL)
                for note in story.notes[notes:]:
                    say(f"{what}: {note.text}")
                notes = max(notes, len(story.notes))
                if story.steps:
                    watch(story.steps[-1].batches, story.steps[-1].of)

        watcher = threading.Thread(target=follow)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
