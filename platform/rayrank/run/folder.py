"""A run's folder: where each thing that it makes lies. Nothing else joins these names."""

from pathlib import Path

from rayrank.storage import AnyPath, place


class RunFolder:
    """The places of a run under one URI.

    config.yaml, command.txt     what it was told last
    log/VERSION                  the log, where it is made here (simulated, or converted)
    rows/VERSION, rows/current   user rows, and which of them later stages use
    rankers/NAME/VERSION         training: plan of batches, journal, checkpoints, event files
    eval/NAME/VERSION            scores of the test rows; eval/evaluation.json: what was found
    bundles/VERSION              what is served; bundles/current: which of them; bundles/canary,
                                 shadow, previous: beside it, along with it, before it
    checks/VERSION.json          served scores against the trainer's
    daily/NAME/DAY.json          what came of a day of daily training; daily/NAME.svg: all days
    stages/NAME.json             how long each stage took
    summary.json, report.html    for people; seeds.json: the same from several seeds
    request.json, api-key        to try the endpoint with (on this machine: see `here`)
    ray.log                      what Ray and its libraries said (on this machine)
    """

    def __init__(self, uri: str) -> None:
        self.root = place(uri)
        self.log = self.root / "log"
        self.rows = self.root / "rows"
        self.evaluations = self.root / "eval"
        self.bundles = self.root / "bundles"
        self.config = self.root / "config.yaml"
        self.command = self.root / "command.txt"
        self.summary = self.root / "summary.json"
        self.report = self.root / "report.html"
        self.seeds = self.root / "seeds.json"

    def __str__(self) -> str:
        return str(self.root)

    @property
    def name(self) -> str:
        """What the run is called in Ray's dashboard."""
        return self.root.name

    def ranker(self, name: str) -> AnyPath:
        """The versions of one ranker."""
        return self.root / "rankers" / name

    def check(self, version: str) -> AnyPath:
        """What was found of a bundle's version over HTTP."""
        return self.root / "checks" / f"{version}.json"

    def stage(self, name: str) -> AnyPath:
        """How long a stage took."""
        return self.root / "stages" / f"{name}.json"

    def days(self, ranker: str) -> AnyPath:
        """What came of each day of a ranker's daily training."""
        return self.root / "daily" / ranker

    def day(self, ranker: str, day: str) -> AnyPath:
        """What came of one of them."""
        return self.days(ranker) / f"{day}.json"

    def days_picture(self, ranker: str) -> AnyPath:
        """The same as a picture."""
        return self.root / "daily" / f"{ranker}.svg"

    @property
    def here(self) -> Path:
        """Where this machine's own things lie (a log, the API key, a request to try): in the run's
        folder where that is local, else in runs/NAME."""
        return self.root if isinstance(self.root, Path) else Path("runs") / self.name

    @property
    def request(self) -> Path:
        """A request that works, to try the endpoint with."""
        return self.here / "request.json"

    @property
    def api_key(self) -> Path:
        """The key of endpoints on a cluster that was started here."""
        return self.here / "api-key"

    @property
    def ray_log(self) -> Path:
        """What Ray and its libraries said."""
        return self.here / "ray.log"
