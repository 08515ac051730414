"""What the lab compares, on which logs, and by how many seeds."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, model_validator

from rayrank.data.config import DataConfig
from rayrank.evaluate.config import EvaluateConfig
from rayrank.run.config import load_tree
from rayrank.storage import AnyPath
from rayrank.strict import Positive, Strict, Uri, parse
from rayrank.train.config import RankerConfig

Changes = dict[str, Any]
"""Dotted key of a ranker's config (`model.layers`) -> its value."""
Search = dict[str, Annotated[list[Any], Field(min_length=1)]]
"""Dotted key of a ranker's config -> the values that trials draw from."""


class ScalingConfig(Strict):
    """Sizes of one model, and what their gains are counted from."""

    against: str
    """The model whose GAUC a size's gain is counted from; of its own chosen settings."""
    families: dict[str, dict[str, Changes]]
    """What grows (`depth`, `width`, …) -> size -> what is changed of the subject. Sizes that stand
    in several families are trained once."""


class LogConfig(Strict):
    """A log, and what is done on it."""

    data: DataConfig
    """Whose `split.valid` trials are chosen on; the rankers of the tables learn from those days
    too."""
    base: Changes = {}
    """What every model has on this log, before trials change it."""
    search: Search = {}
    """What trials of every model vary, beside what they all vary on every log."""
    trials: Positive | None = None
    """Of every model on this log; as many as on every log unless said."""
    ablations: dict[str, Changes] = {}
    """Name -> what is changed of the subject."""
    losses: dict[str, Changes] = {}
    """The same, of what is minimised."""
    scaling: ScalingConfig | None = None

    def of_subject(self) -> dict[str, Changes]:
        """All that is changed of the subject, by name."""
        families = {} if self.scaling is None else self.scaling.families
        sizes = {size: changes for of in families.values() for size, changes in of.items()}
        return self.ablations | self.losses | sizes

    @model_validator(mode="after")
    def _has_days_to_choose_on(self) -> "LogConfig":
        if not self.data.split.valid or not self.data.split.test:
            raise ValueError("data.split: valid and test are needed: trials are chosen on valid")
        return self


class LabConfig(Strict):
    """The whole lab."""

    run_dir: Uri
    """A folder, at a URI of any filesystem, that every node sees."""
    seeds: Annotated[int, Field(ge=2)] = 3
    """Trainings of every model that its tables are made of, from seeds 0 up."""
    seeds_of_changes: Annotated[int, Field(ge=2)] | None = None
    """Trainings of each ablation, loss and size: the first of the seeds, beside the subject's of
    the same. All of them unless said."""
    trials: Positive = 4
    """Trainings of every model on every log that says nothing else, to choose its settings by: the
    same number for all models. The first is of the settings as they are."""
    subject: str = "mtgr"
    """The model that others are compared to, and that ablations and sizes change."""
    models: Annotated[dict[str, RankerConfig], Field(min_length=1)]
    search: Search = {}
    """What trials of every model vary on every log."""
    logs: Annotated[dict[str, LogConfig], Field(min_length=1)]
    evaluate: EvaluateConfig = EvaluateConfig()

    @model_validator(mode="after")
    def _names_are_there(self) -> "LabConfig":
        wanted = {"subject": self.subject}
        for name, log in self.logs.items():
            if log.scaling is not None:
                wanted[f"logs.{name}.scaling.against"] = log.scaling.against
        for key, model in wanted.items():
            if model not in self.models:
                raise ValueError(f"{key}: no model {model!r}; there are {', '.join(self.models)}")
        if self.changes_seeds > self.seeds:
            raise ValueError(
                f"seeds_of_changes: {self.seeds_of_changes}: at most seeds ({self.seeds}), for "
                f"each is compared with {self.subject} of the same seed"
            )
        # Every change that will be made, before anything is trained.
        for log in self.logs.values():
            base = {model: changed(config, log.base) for model, config in self.models.items()}
            for config in base.values():
                for key, values in (self.search | log.search).items():
                    for value in values:
                        changed(config, {key: value})
            for changes in log.of_subject().values():
                changed(base[self.subject], changes)
        return self

    @property
    def changes_seeds(self) -> int:
        """Trainings of each ablation, loss and size."""
        return self.seeds_of_changes or self.seeds

    def trials_on(self, log: str) -> int:
        """Of every model."""
        return self.logs[log].trials or self.trials

    def search_on(self, log: str) -> Search:
        """What trials vary on a log."""
        return self.search | self.logs[log].search


def changed(config: RankerConfig, changes: Mapping[str, Any]) -> RankerConfig:
    """The config with some keys of other values. Raises ValueError for a key or value that cannot
    be, which names it."""
    content = tree_of(config)
    for dotted, value in changes.items():
        *sections, key = dotted.split(".")
        section: Any = content
        for name in sections:
            section = section.get(name)
            if not isinstance(section, dict):
                raise ValueError(f"{dotted}: there is no section {name!r}")
        section[key] = value
    return RankerConfig.model_validate(content)


def tree_of(config: RankerConfig) -> dict[str, Any]:
    """The config as nested mappings, what is not said of it too (a view that sees all)."""
    content: dict[str, Any] = config.model_dump(mode="json")
    return {**content, "view": config.view.model_dump(mode="json")}


def load_lab(path: str | AnyPath, overrides: Sequence[str] = ()) -> LabConfig:
    """The lab's YAML file, with `dotted.key=value` overrides. Raises ConfigError."""
    return parse(LabConfig, load_tree(path, overrides), str(path))
