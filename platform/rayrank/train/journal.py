"""What a run says while it trains: lines of JSON that grow while others read them.

    journal/000002-000000.jsonl    attempt 2, part 0; …

Object stores cannot append, so the lines come in parts, of which the last is written anew every
few seconds. Each attempt begins with the lines it keeps of those before it: the newest attempt's
parts are the whole story.
"""

import json
import time
from dataclasses import dataclass, field
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
    """What is minimised: nats per known label, summed over tasks (the log-loss, unless a task's
    `loss` asks for more)."""
    candidates: int
    tokens: int
    users: int
    auxiliary: float
    """The model's auxiliary loss per candidate; 0 where it has none."""
    gradient_norm: float
    """Of dense parameters and table rows together, before it was clipped."""
    loss_scale: float
    """That float16's losses are multiplied by; 1 for other precisions."""
    auc: dict[str, float] = field(default_factory=dict)
    """Binary task -> AUC of the last steps' predictions (`running_auc`)."""
    flops: float | None = None
    """Of the model, forward and backward; None where it does not tell."""
    mfu: float | None = None
    """Those FLOPs by what the devices could have done at most; None where that is not known."""
    balance: float | None = None
    """The work of the rank that has most, by the mean over ranks."""
    phases: dict[str, float] = field(default_factory=dict)
    """Phase -> seconds of rank 0 (`phases`; on a GPU those of the step before)."""
    tables: dict[str, dict[str, float]] = field(default_factory=dict)
    """Table -> what it held and did: `ids`, `load` (of its capacity), `bytes`, `hit_rate`,
    `inserted`, `refused`, `waiting`, `evicted` (`embedding.facts`)."""


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
        """Add a line; it can be read within about `FLUSH_S`, or after `flush`. Where the store
        fails, it is there with the next one that is written."""
        self._add(line)
        if time.monotonic() - self.flushed_at >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what was added."""
        path = self.folder / f"{self.attempt:06d}-{self.part:06d}.jsonl"
        write_whole(path, "".join(self.lines))
        self.flushed_at = time.monotonic()

    def _add(self, line: Line) -> None:
        try:
            if len(self.lines) >= LINES_PER_PART:
                self.flush()
                self.part, self.lines = self.part + 1, []
        finally:
            self.lines.append(json.dumps({"kind": NAMES[type(line)], **vars(line)}) + "\n")


def read_story(folder: AnyPath) -> Story:
    """What the newest attempt tells; nothing where none has begun."""
    return Reader(folder).read()


class Reader:
    """Reads a journal again and again while it grows: parts that are full are read once."""

    def __init__(self, folder: AnyPath) -> None:
        self.folder = folder
        self._full: dict[str, list[Line]] = {}
        """Of the newest attempt, by name."""

    def read(self) -> Story:
        """What the newest attempt tells by now."""
        parts = files_in(self.folder, "*.jsonl")
        newest = [part for part in parts if part.name[:6] == parts[-1].name[:6]]
        lines: dict[str, list[Line]] = {}
        for part in newest:
            full = self._full.get(part.name)
            lines[part.name] = full if full is not None else _lines(part)
        self._full = {part.name: lines[part.name] for part in newest[:-1]}
        return _story([line for of_part in lines.values() for line in of_part])


def _story(lines: list[Line]) -> Story:
    story = Story([], [], [])
    for line in lines:
        match line:
            case StepLine():
                story.steps.append(line)
            case EpochLine():
                story.epochs.append(line)
            case NoteLine():
                story.notes.append(line)
    return story


def _lines(part: AnyPath) -> list[Line]:
    return [_line(json.loads(text)) for text in read_whole(part).splitlines()]


def _line(content: dict[str, Any]) -> Line:
    return KINDS[content.pop("kind")](**content)
