"""A run: what it is told, and where it lies."""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from rayrank.data.log import Log
from rayrank.data.source import open_log
from rayrank.errors import DataError
from rayrank.evaluate.run import Trained
from rayrank.run.config import RunConfig
from rayrank.run.folder import RunFolder
from rayrank.run.terminal import console
from rayrank.schema import Schema
from rayrank.storage import AnyPath, write_whole
from rayrank.train.run import ranker_made_from
from rayrank.versions import CURRENT, named_version, require

STAGES = ("build", "train", "eval", "export", "check")


class Run:
    """A config and its folder. The stages (`run.stages`) take one."""

    def __init__(self, config: RunConfig, *, new: bool = False) -> None:
        """new: make a new version beside those that were made from something else; otherwise a
        stage that finds only such ones refuses."""
        self.config, self.new = config, new
        self.folder = RunFolder(config.run_dir)

    def open_log(self) -> tuple[Log, Schema]:
        """The log and its schema, as the build left them."""
        return open_log(self.config.data, self.folder.log)

    def rows(self) -> AnyPath:
        """The version of user rows that later stages use. DataError where there is none."""
        version = named_version(self.folder.rows, CURRENT)
        if version is None:
            raise DataError(f"{self.folder.rows}: no user rows; run jobs/build_rows.py first")
        return self.folder.rows / version

    def trained(self, name: str) -> Trained:
        """A ranker of the config as trained on the rows. VersionError where it is not, saying what
        the trainings that are there were made from instead."""
        config = self.config.rankers[name]
        folder = self.folder.ranker(name)
        made_from = ranker_made_from(self.rows(), config, self.open_log()[1])
        return Trained(name, config, require(folder, made_from, "run jobs/train.py"))

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator["Stage"]:
        """Announce a stage. Once it has done its work, keep beside the results what the run was
        told, and how long it took (unless it had nothing to do)."""
        console.rule(f"[bold]{name}[/]  {what}", align="left")
        stage, begun = Stage(), time.perf_counter()
        yield stage
        content = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
        write_whole(self.folder.config, content)
        write_whole(self.folder.command, shlex.join(["python", *sys.argv]) + "\n")
        if not stage.reused:
            seconds = time.perf_counter() - begun
            write_whole(self.folder.stage(name), json.dumps({"seconds": seconds}))

    def seconds(self) -> dict[str, float]:
        """How long each stage took when it last had something to do."""
        files = {name: self.folder.stage(name) for name in STAGES}
        return {
            name: json.loads(file.read_text())["seconds"]
            for name, file in files.items()
            if file.exists()
        }


class Stage:
    """A stage under way."""

    reused = False
    """Whether all of its work was done before."""
