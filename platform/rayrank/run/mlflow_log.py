"""A training run's numbers in MLflow, where `MLFLOW_TRACKING_URI` says so.

Made of the journal by who watches it: training itself never waits for a tracking server, and a run
that was cut goes on in the MLflow run that it began, from the last step that stands there.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from rayrank.errors import TrainingError
from rayrank.run.terminal import say
from rayrank.storage import AnyPath, absolute
from rayrank.train.config import RankerConfig
from rayrank.train.finished import JOURNAL
from rayrank.train.journal import Reader, Story
from rayrank.train.scalars import scalars_of

URI, EXPERIMENT = "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"
FOLDER = "rayrank.folder"
"""The tag by which a training run finds its MLflow run again."""
EVERY_S = 10.0
MOST_METRICS = 1000
"""In one call, says MLflow."""


def demand_mlflow() -> bool:
    """Whether MLflow is told. Raises TrainingError where it is, and not installed."""
    told = bool(os.environ.get(URI))
    if told and find_spec("mlflow") is None:
        raise TrainingError(
            f"{URI} is set, and MLflow is not installed: pip install mlflow-skinny, or unset it"
        )
    return told


@contextmanager
def logged_to_mlflow(folder: AnyPath, name: str, config: RankerConfig) -> Iterator[None]:
    """Log the training run in `folder` while it runs, if MLflow is told: a point every `EVERY_S`,
    of the means over the steps since the last one. name: of a new MLflow run.

    Raises TrainingError where the tracking server cannot be used from the start. What fails later
    is said, and tried again with the next point; training goes on.
    """
    if not demand_mlflow():
        yield
        return
    run = _MLflowRun(folder, name, config)
    journal, over = Reader(folder / JOURNAL), threading.Event()

    def follow() -> None:
        while not over.wait(EVERY_S):
            run.try_to_log(journal.read())

    follower = threading.Thread(target=follow, name="mlflow")
    follower.start()
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    finally:
        over.set()
        follower.join()
        run.try_to_log(journal.read(), status)


class _MLflowRun:
    """The MLflow run of a training run."""

    def __init__(self, folder: AnyPath, name: str, config: RankerConfig) -> None:
        from mlflow import MlflowClient  # noqa: PLC0415 (an import of seconds, and optional)
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        self.name, self.errors, self.failing = name, (MlflowException, OSError), False
        try:
            self.client = MlflowClient()
            self.run_id, began = self._find_or_begin(str(absolute(folder)), config)
            self.step = self._last_step("loss")
            self.epochs = self._epochs()
        except self.errors as error:
            raise TrainingError(
                f"MLflow, which {URI} names, cannot be used: {_shown(error)}"
            ) from None
        say(f"{name}: {'logs' if began else 'goes on logging'} to MLflow, run {self.run_id}")

    def try_to_log(self, story: Story, status: str | None = None) -> None:
        """Log what is new; with a status, also that this is the end."""
        try:
            self._log(story)
            if status is not None:
                self.client.set_terminated(self.run_id, status)
        except self.errors as error:
            if not self.failing:
                say(f"{self.name}: training goes on, but MLflow takes nothing: {_shown(error)}")
            self.failing = True
        else:
            self.failing = False

    def _find_or_begin(self, folder: str, config: RankerConfig) -> tuple[str, bool]:
        """The MLflow run, and whether it is a new one."""
        from mlflow.entities import Param  # noqa: PLC0415

        name = os.environ.get(EXPERIMENT, "rayrank")
        found = self.client.get_experiment_by_name(name)
        experiment = self.client.create_experiment(name) if found is None else found.experiment_id
        tag = "tags.`" + FOLDER + "` = '" + folder.replace("'", "\\'") + "'"
        runs = self.client.search_runs([experiment], filter_string=tag, max_results=1)
        if runs:
            self.client.update_run(runs[0].info.run_id, status="RUNNING")
            return runs[0].info.run_id, False
        run = self.client.create_run(experiment, run_name=self.name, tags={FOLDER: folder})
        told = config.model_dump(mode="json")
        self.client.log_batch(
            run.info.run_id,
            params=[
                Param(f"{part}.{key}", str(of[key])) for part, of in told.items() for key in of
            ],
        )
        return run.info.run_id, True

    def _last_step(self, metric: str) -> int:
        history = self.client.get_metric_history(self.run_id, metric)
        return max((point.step for point in history), default=0)

    def _epochs(self) -> int:
        """How many stand there."""
        metrics = [
            m for m in self.client.get_run(self.run_id).data.metrics if m.startswith("later")
        ]
        return len(self.client.get_metric_history(self.run_id, metrics[0])) if metrics else 0

    def _log(self, story: Story) -> None:
        from mlflow.entities import Metric  # noqa: PLC0415

        now, points = int(time.time() * 1000), list[Metric]()
        new = [scalars_of(step) for step in story.steps if step.step > self.step]
        for name in dict.fromkeys(name for scalars in new for name in scalars):
            values = [scalars[name] for scalars in new if name in scalars]
            mean = sum(values) / len(values)
            points.append(Metric(name, mean, now, story.steps[-1].step))
        for epoch in story.epochs[self.epochs :]:
            points += [Metric(n, v, now, epoch.step) for n, v in scalars_of(epoch).items()]
        for first in range(0, len(points), MOST_METRICS):
            self.client.log_batch(self.run_id, points[first : first + MOST_METRICS])
        if new:
            self.step = story.steps[-1].step
        self.epochs = max(self.epochs, len(story.epochs))


def _shown(error: Exception) -> str:
    """What it says, without what a URI in it may have of user and password."""
    return re.sub(r"//[^/@\s]+@", "//", str(error))
