"""A ranker's own view of a schema: what of the rows it reads, and what it learns by.

For ablations and trials: rows stay as they are, whatever rankers read of them.
"""

from typing import Literal, get_args

from pydantic import Field, ValidationError

from rayrank.errors import ConfigError
from rayrank.schema.groups import Part
from rayrank.schema.parts import Feature, LossConfig, Sequence, Table, Task, Width
from rayrank.schema.schema import Schema
from rayrank.strict import Positive, Strict, faults

Emptied = Literal["static", "realtime"]


class RankerSchema(Schema):
    """A schema as one ranker reads it (`ViewConfig.of`)."""

    empties: list[Emptied] = Field(default=[], exclude_if=lambda parts: not parts)

    @property
    def emptied(self) -> frozenset[Part]:
        return frozenset(self.empties)

    def losses(self) -> dict[str, LossConfig]:
        """Task -> what is minimised beside its log-loss, of those of which anything is."""
        return {name: t.loss for name, t in self.tasks.items() if t.loss != LossConfig()}

    def losses_in_words(self) -> list[str]:
        """For a person: a line for each of them."""
        return [f"{name}: the loss is {of.in_words()}" for name, of in self.losses().items()]


class ViewConfig(Strict):
    """What of the rows a ranker reads, and what it learns by, where that is not what the schema
    says. Rows need not be built again for it."""

    without: list[str] = []
    """What it does not read: `TOKEN.FEATURE` (`candidate.item_ctr`), a sequence by its name, or
    `static` or `realtime`: that part of all sequences, which is empty for it."""
    keep: Positive | None = None
    """The most recent behaviours of each sequence known before the window that it reads, where the
    schema has rows keep more."""
    embedding_dim: Width | None = None
    """The width of all its tables, instead of the schema's."""
    losses: dict[str, LossConfig] = {}
    """By task, what is minimised beside the log-loss, instead of what the schema says."""

    def of(self, schema: Schema) -> RankerSchema:
        """The schema that the ranker is built, trained, evaluated and served by. One that is a
        ranker's already is left as it is.

        Raises ConfigError for what is not there to be left out, and for what the rest cannot do
        without.
        """
        if isinstance(schema, RankerSchema):
            return schema
        self._demand_known(schema)
        features = {name: self._seen(name, of, schema) for name, of in schema.features.items()}
        features = {name: of for name, of in features.items() if of.tokens}
        asked = {of.table for of in features.values()}
        tables = {name: self._wide(of) for name, of in schema.tables.items() if name in asked}
        told = {n: self._kept(of) for n, of in schema.sequences.items() if n not in self.without}
        tasks = {name: self._learned(name, of) for name, of in schema.tasks.items()}
        said = {name: getattr(schema, name) for name in Schema.model_fields}
        changed = {"features": features, "tables": tables, "sequences": told, "tasks": tasks}
        try:
            return RankerSchema(**{**said, **changed}, empties=self.empties)
        except ValidationError as error:
            without = ", ".join(self.without)
            raise ConfigError(
                "\n".join(f"view: without {without}: {fault}" for fault in faults(error))
            ) from None

    @property
    def empties(self) -> list[Emptied]:
        """The parts of all sequences that are empty for it."""
        return [part for part in get_args(Emptied) if part in self.without]

    def in_words(self) -> list[str]:
        """What of the rows it does not read as the schema says, for a person: a line each."""
        told = []
        if names := [name for name in self.without if name not in self.empties]:
            told.append(f"it reads without {len(names)} of what rows hold: {', '.join(names)}")
        told += [f"the {part} parts of all sequences are empty for it" for part in self.empties]
        if self.keep is not None:
            told.append(f"it reads the newest {self.keep} behaviours of each sequence")
        if self.embedding_dim is not None:
            told.append(f"all its tables are {self.embedding_dim} wide")
        return told

    def _demand_known(self, schema: Schema) -> None:
        """Raises ConfigError naming the first thing that the schema does not have."""
        tokens = dict.fromkeys(group.token for group in schema.groups)
        there = {f"{token}.{name}" for token in tokens for name in schema.features_of(token)}
        there |= {*schema.sequences, *get_args(Emptied)}
        for name in self.without:
            if name not in there:
                of = f"{name.partition('.')[0]}."
                near = sorted(one for one in there if one.startswith(of)) or sorted(there)
                raise ConfigError(f"view.without: no {name!r}; there are {', '.join(near)}")
        for part in self.empties:
            if part in schema.sequences:
                raise ConfigError(f"view.without: {part!r} is a sequence's name, and a part of all")
        twice = [name for name in self.without if self.without.count(name) > 1]
        if twice:
            raise ConfigError(f"view.without: {twice[0]!r} is named twice")
        for name in self.losses:
            if name not in schema.binary_tasks:
                there_are = ", ".join(schema.binary_tasks) or "none"
                raise ConfigError(f"view.losses: no binary task {name!r}; there are {there_are}")

    def _seen(self, name: str, feature: Feature, schema: Schema) -> Feature:
        """A feature, of the tokens that it is read in."""
        tokens = [
            token
            for token in feature.tokens
            if token not in self.without and f"{token}.{name}" not in self.without
        ]
        return feature.model_copy(update={"tokens": tokens})

    def _kept(self, sequence: Sequence) -> Sequence:
        keep = min(sequence.keep, self.keep or sequence.keep)
        return sequence.model_copy(update={"keep": keep})

    def _wide(self, table: Table) -> Table:
        dim = self.embedding_dim
        return table if dim is None else table.model_copy(update={"dim": dim})

    def _learned(self, name: str, task: Task) -> Task:
        loss = self.losses.get(name)
        return task if loss is None else task.model_copy(update={"loss": loss})
