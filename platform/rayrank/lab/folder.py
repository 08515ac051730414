"""The lab's folder: where each thing that it makes lies."""

from rayrank.run.folder import RunFolder
from rayrank.storage import AnyPath, place


class LabFolder:
    """The places of a lab under one URI.

    LOG/                     a run of its own (`RunFolder`): log, rows, rankers, scores
    LOG/trials/              Ray Tune's own records
    trials.csv               every trial, what it was, and what it was worth on validation days
    quality.csv, ablation.csv, scaling.csv, scaling_fit.csv, cost.csv    the tables
    report.html              all of it for people; *.svg: its pictures
    """

    def __init__(self, uri: str) -> None:
        self.root = place(uri)
        self.report = self.root / "report.html"

    def log(self, name: str) -> RunFolder:
        """The run of one log."""
        return RunFolder(str(self.root / name))

    def table(self, name: str) -> AnyPath:
        """A table."""
        return self.root / f"{name}.csv"

    def picture(self, name: str) -> AnyPath:
        """A picture of the report by itself."""
        return self.root / f"{name}.svg"

    def trials(self, log: str) -> AnyPath:
        """What Ray Tune keeps of trials, a folder per model."""
        return self.root / log / "trials"
