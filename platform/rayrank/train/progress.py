"""Progress one can watch: a line per step in a file, and Prometheus metrics through Ray."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ray.util.metrics import Counter, Gauge

from rayrank.train.checkpoint import Position
from rayrank.train.optimize import StepFacts

STEPS = "steps.jsonl"
EPOCHS = "epochs.jsonl"


class Progress:
    """Rank 0 writes; the other ranks only go through the motions."""

    def __init__(self, folder: Path, rank: int, position: Position, total: int) -> None:
        self.folder, self.writes, self.total = folder, rank == 0, total
        if self.writes:
            # A resumed run takes the steps after its checkpoint again, and validates again the
            # epoch that the checkpoint stands in, though no step of it be left: drop their lines.
            _keep(folder / STEPS, lambda entry: entry["step"] <= position.step)
            _keep(folder / EPOCHS, lambda entry: entry["epoch"] < position.epoch)
            self.steps = (folder / STEPS).open("a")
            self.loss = Gauge("rayrank_train_loss", "Nats per candidate over the global batch")
            self.rate = Gauge("rayrank_train_tokens_per_second", "Over all workers")
            self.tokens = Counter("rayrank_train_tokens_total", "Tokens trained on")
            self.since = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.writes:
            self.steps.close()

    def step(self, position: Position, batches: int, facts: StepFacts) -> None:
        """A step was taken; `batches` of the run's `total` are done."""
        if not self.writes:
            return
        now = time.perf_counter()
        seconds, self.since = now - self.since, now
        entry = {
            "step": position.step,
            "epoch": position.epoch,
            "batches": batches,
            "of": self.total,
            "seconds": seconds,
            "attempt": position.attempt,
            **facts._asdict(),
        }
        self.steps.write(json.dumps(entry) + "\n")
        self.steps.flush()
        self.loss.set(facts.loss)
        self.rate.set(facts.tokens / seconds)
        self.tokens.inc(facts.tokens)

    def epoch(self, position: Position, metrics: dict[str, Any]) -> None:
        """An epoch has ended, with these metrics on later data."""
        if self.writes:
            with (self.folder / EPOCHS).open("a") as file:
                file.write(
                    json.dumps({"step": position.step, "epoch": position.epoch, "metrics": metrics})
                    + "\n"
                )
            self.since = time.perf_counter()


def _keep(path: Path, wanted: Callable[[dict[str, Any]], bool]) -> None:
    kept = [entry for entry in read_progress(path) if wanted(entry)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in kept))


def read_progress(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a progress file; [] where there is none yet."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]  # what follows the last newline is being written
    return [json.loads(line) for line in lines]
