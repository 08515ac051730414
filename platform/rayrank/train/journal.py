"""What a run says while it trains: lines of JSON that grow while others read them.

    journal/000002-000000.jsonl    attempt 2, part 0; …

Object stores cannot append, so the lines come in parts, of which the last is written anew every
few seconds. Each attempt begins with the lines it keeps of those before it: the newest attempt's
parts are the whole story.
"""

import json
import time
from dataclasses import asdict, dataclass
from typing import Any

from rayrank.storage import AnyPath, files_in, read_whole, write_whole

FLUSH_S = 1.0
LINES_PER_PART = 2000


@dataclass(frozen=True)
class StepLine:
    """A training step, over all ranks."""

    step: int
    epoch: int
    batches: int
    """Of the run's `of` packed batches that were done after it."""
    of: int
    seconds: float
    waited_s: float
    """Of `seconds`, how long rank 0 had no batch to train on."""
    attempt: int
    loss: float
    """Nats per candidate, summed over tasks."""
    candidates: int
    tokens: int
    users: int
    auxiliary: float
    """The model's auxiliary loss per candidate; 0 where it has none."""
    gradient_norm: float
    """Of dense parameters and table rows together, before it was clipped."""
    loss_scale: float
    """That float16's losses are multiplied by; 1 for other precisions."""


@dataclass(frozen=True)
class EpochLine:
    """The end of an epoch: task -> metric -> value on later data; {} where there is none."""

    step: int
    epoch: int
    metrics: dict[str, dict[str, float]]


@dataclass(frozen=True)
class NoteLine:
    """Something a person should know: a resume, a damaged checkpoint."""

    step: int
    attempt: int
    text: str


Line = StepLine | EpochLine | NoteLine
KINDS: dict[str, type[Line]] = {"step": StepLine, "epoch": EpochLine, "note": NoteLine}
NAMES = {kind: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Story:
    """All lines of a run, by kind, in the order they were written."""

    steps: list[StepLine]
    epochs: list[EpochLine]
    notes: list[NoteLine]


class Journal:
    """The journal of one attempt; only rank 0 writes."""

    def __init__(self, folder: AnyPath, attempt: int, steps: int, epochs: int) -> None:
        """Begin with what earlier attempts told of so many steps and epochs (a resumed run takes
        later steps again, and ends again the epoch that its checkpoint stands in), and all their
        notes."""
        self.folder, self.attempt = folder, attempt
        self.part, self.lines = 0, list[str]()
        self.flushed_at = 0.0
        story = read_story(folder)
        kept: list[Line] = [*story.notes]
        kept += [line for line in story.steps if line.step <= steps]
        kept += [line for line in story.epochs if line.epoch < epochs]
        for line in kept:
            self._add(line)
        self.flush()

    def write(self, line: Line) -> None:
        """Add a line; it can be read within about `FLUSH_S`, or after `flush`."""
        self._add(line)
        if time.monotonic() - self.flushed_at >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        path = self.folder / f"{self.attempt:06d}-{self.part:06d}.jsonl"
        write_whole(path, "".join(self.lines))
        self.flushed_at = time.monotonic()

    def _add(self, line: Line) -> None:
        if len(self.lines) == LINES_PER_PART:
            self.flush()
            self.part, self.lines = self.part + 1, []
        self.lines.append(json.dumps({"kind": NAMES[type(line)], **asdict(line)}) + "\n")


def read_story(folder: AnyPath) -> Story:
    """What the newest attempt tells; nothing where none has begun."""
    story = Story([], [], [])
    for line in _lines(folder):
        match line:
            case StepLine():
                story.steps.append(line)
            case EpochLine():
                story.epochs.append(line)
            case NoteLine():
                story.notes.append(line)
    return story


def _lines(folder: AnyPath) -> list[Line]:
    parts = files_in(folder, "*.jsonl")
    newest = [part for part in parts if part.name[:6] == parts[-1].name[:6]]
    return [_line(json.loads(text)) for part in newest for text in read_whole(part).splitlines()]


def _line(content: dict[str, Any]) -> Line:
    return KINDS[content.pop("kind")](**content)
