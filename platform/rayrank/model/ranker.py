"""What a ranker is: its config, its tables and dense weights, its logits and its loss."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeAlias, cast

import torch
from pydantic import Field
from torch import nn
from torch.utils.checkpoint import checkpoint

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.tables import Tables
from rayrank.errors import WeightsError
from rayrank.model.features import Scales, Vectors
from rayrank.model.losses import loss_sums
from rayrank.model.outcomes import LabelScales, predictions
from rayrank.model.parts import Runner, run_now
from rayrank.model.prefix import Prefix
from rayrank.schema import Group, Schema
from rayrank.strict import Strict
from rayrank.tensors import copies, held_as

Layer: TypeAlias = Callable[..., torch.Tensor]
Asked: TypeAlias = dict[str, dict[tuple[Group, str], torch.Tensor]]
"""Table -> (group, feature) -> the ids it holds."""


class ModelConfig(Strict):
    """What every model's config extends."""

    kind: str
    """Which model this configures: a short name (`mtgr`, `dlrm`, …), or `package.module:Class`."""
    embedding_std: Annotated[float, Field(ge=0)] = 0.02
    """Standard deviation of the vectors that ids start with. It is every model's, because tables
    are made before the model that looks ids up in them."""

    def pair_in_tokens(self) -> float:
        """What a visible pair (a query and a key that it attends to) costs beside a token, by
        FLOPs: batches are balanced by it. 0 for a model that attends to nothing."""
        return 0.0


class Ranker(nn.Module):
    """The interface that trainer, exporter and server know.

    A subclass names its config class as `Config`, and is made by
    `Class(schema, config, tables, scales)`: `config` an instance of `Config`, `tables` whatever
    turns ids into vectors, `scales` how numbers are spread over the training rows. What
    it takes from `scales` it keeps in buffers: a bundle is built without any, and then loaded.

    What of it may be captured and replayed on a GPU it runs by `self.run` (`model.parts`).

    It owns its tables: no part of it may hold them too. All other parameters and buffers are
    dense: every rank holds them whole, or its share of each parameter, and checkpoints and bundles
    keep them whole, by name.

    What its logits mean says `model.outcomes`.
    """

    label_mean: torch.Tensor
    label_std: torch.Tensor
    Config: ClassVar[type[ModelConfig]]
    Prefix: ClassVar[type[Prefix] | None] = None
    """What `encode_prefix` gives, where an engine shall keep it from request to request. The model
    then has `extend_prefix` too."""

    def __init__(self, schema: Schema, tables: Tables) -> None:
        super().__init__()
        self.schema = schema
        self.tables = tables
        self.run: Runner = run_now
        self.recompute = False
        """Whether training keeps of a layer its input alone, and computes the rest anew in the
        backward pass: less memory, by all but one layer's, for a forward pass more."""
        # Kept with the weights only where a task is a number: of others they say nothing.
        kept = any(task.kind == "number" for task in schema.tasks.values())
        self.register_buffer("label_mean", torch.zeros(len(schema.tasks)), persistent=kept)
        self.register_buffer("label_std", torch.ones(len(schema.tasks)), persistent=kept)

    # From a batch to logits.

    def lookup(self, batch: JaggedBatch, groups: Sequence[Group] | None = None) -> Vectors:
        """The vectors of all ids in a batch, or in some of its groups, in one call to the tables.

        A training step makes one such call, for all groups: TorchRec's fused optimizers update the
        tables once for each. Collective where tables are sharded. In serving they are valid until
        the next call: what a prefix keeps is made of them, and is none of them.
        """
        asked = self._asked(batch, self.schema.groups if groups is None else groups)
        found = self.tables(_joined(asked, batch))
        return {
            place: vectors
            for table, of in asked.items()
            for place, vectors in zip(
                of, found[table].split([len(ids) for ids in of.values()]), strict=True
            )
        }

    def ids(self, batch: JaggedBatch) -> dict[str, torch.Tensor]:
        """What `lookup` of all groups asks each table for, int64 [n]."""
        return _joined(self._asked(batch, self.schema.groups), batch)

    def _asked(self, batch: JaggedBatch, groups: Sequence[Group]) -> Asked:
        """By table, the features of these groups that hold its ids, and those ids."""
        asked: Asked = {table: {} for table in self.schema.tables}
        for group in groups:
            for name, feature in self.schema.features_of(group.token).items():
                if feature.table is not None:
                    asked[feature.table][group, name] = batch.ids(group, name)
        return asked

    def encode_prefix(self, batch: JaggedBatch, vectors: Vectors) -> Any:
        """What the model makes of users before it knows what to score: a frozen dataclass of
        tensors. It reads profile and sequences, never candidates."""
        raise NotImplementedError

    def extend_prefix(self, prefix: Any, batch: JaggedBatch, vectors: Vectors) -> Any:
        """The prefix of the same users and windows after more of their realtime behaviours, none of
        which was known before one that it has: a batch of the realtime groups alone holds them."""
        raise NotImplementedError

    def score_candidates(self, prefix: Any, batch: JaggedBatch, vectors: Vectors) -> torch.Tensor:
        """logits_CK of a batch's candidates, given the prefix of the same users and windows. It
        reads nothing of the batch but candidates and `window_start`."""
        raise NotImplementedError

    def forward(self, batch: JaggedBatch) -> torch.Tensor:
        """logits_CK, float32 [candidates, tasks], tasks in the schema's order."""
        vectors = self.lookup(batch)
        return self.score_candidates(self.encode_prefix(batch, vectors), batch, vectors)

    def through(self, layer: Layer, *inputs: Any) -> torch.Tensor:
        """`layer(*inputs)`, for layers that may be recomputed."""
        if self.recompute and torch.is_grad_enabled():
            return cast(torch.Tensor, checkpoint(layer, *inputs, use_reentrant=False))
        return layer(*inputs)

    # In training.

    def loss(self, logits_CK: torch.Tensor, batch: JaggedBatch) -> torch.Tensor:
        """What training minimises, a scalar: each task's loss (`model.losses`), averaged over the
        candidates whose label is known, by their weights, summed over tasks."""
        return mean_of_known(self.loss_sums(logits_CK, batch), self.known_labels(batch)).sum()

    def known_labels(self, batch: JaggedBatch) -> torch.Tensor:
        """float32 [tasks]: of how many of a batch's candidates each label is known; the sum of
        their weights, where they have some."""
        known_CK = (~torch.isnan(self._labels_CK(batch))).float()
        return (known_CK if batch.weight is None else known_CK * batch.weight[:, None]).sum(0)

    def loss_sums(self, logits_CK: torch.Tensor, batch: JaggedBatch) -> torch.Tensor:
        """[tasks]: each task's loss (`model.losses`), summed over candidates whose label is known,
        each times its weight.

        Summed, not averaged: the trainer divides by the known labels of the *global* batch.
        """
        labels_CK, scales = self._labels_CK(batch), self._label_scales()
        return loss_sums(self.schema, logits_CK, labels_CK, batch, scales)

    def _labels_CK(self, batch: JaggedBatch) -> torch.Tensor:
        return torch.stack([batch.labels(task) for task in self.schema.tasks], dim=1)

    def auxiliary_loss(self, batch: JaggedBatch) -> torch.Tensor | None:
        """What else is minimised, a scalar, or None. Called after `forward` of the same batch, of
        which the model may have kept what it needs, under the same autocast.

        Like `loss_sums` it is a sum, and is divided by the candidates of the global batch. A sum
        over users, tokens or candidates in which each term depends on its own user alone has the
        same gradient however users are dealt to batches and ranks; a mean over the batch, or
        negatives taken from it, has not. A term that is no such sum, say a penalty on weights, is
        multiplied by `batch.candidates`. A model returns a tensor at every step or at none. Of
        parameters it uses none that stands in one of the `blocks`.
        """
        return None

    def forward_flops(self, batch: JaggedBatch) -> torch.Tensor | None:
        """FLOPs of a forward pass of the model as it trains (`model.flops`), a scalar on the
        batch's device, or None for a model that does not tell. Nothing may wait for the device."""
        return None

    def after_step(self) -> None:
        """Called after each update of weights and tables, on every rank, which must all do the
        same; parameters are whole. What it changes is a buffer or a parameter: checkpoints then
        hold it."""

    # Dense weights.

    def dense_parameters(self) -> dict[str, nn.Parameter]:
        """All parameters but the tables', by name, in an order that is the class's."""
        return {name: p for name, p in self.named_parameters() if not _of_tables(name)}

    def blocks(self) -> Sequence[nn.Module]:
        """Modules that `forward` calls one after the other, each as a module (`block(...)`), and
        nothing else uses in training. Where dense parameters are sharded over ranks, each of them
        is whole only while it runs, and what is in none of them for the whole step."""
        return ()

    def dense_state(self, wanted: bool = True) -> dict[str, torch.Tensor]:
        """A copy of all dense weights, buffers too, by name: whole, contiguous, in CPU memory; {}
        on a rank that does not want it. Collective where they are sharded."""
        return copies(self._dense_values(), wanted)

    def load_dense(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take over what `dense_state` gave, onto whatever devices the weights are on.

        Raises WeightsError, and changes nothing, unless names and shapes are this model's.
        """
        own = self._dense_values()
        faults = []
        if missing := [name for name in own if name not in state]:
            faults.append(f"missing {missing}")
        if unexpected := [name for name in state if name not in own]:
            faults.append(f"unexpected {unexpected}")
        faults += [
            f"{name} is {list(state[name].shape)}, expected {list(value.shape)}"
            for name, value in own.items()
            if name in state and state[name].shape != value.shape
        ]
        if faults:
            raise WeightsError(f"the weights do not fit the model: {', '.join(faults)}")
        for name, value in own.items():
            value.copy_(held_as(state[name], value))

    def _dense_values(self) -> dict[str, torch.Tensor]:
        """The memory of the dense weights, detached: what this rank holds of them."""
        return {name: value for name, value in self.state_dict().items() if not _of_tables(name)}

    def predictions(self, logits_CK: torch.Tensor) -> torch.Tensor:
        """float32 [candidates, tasks]: P(task) in [0, 1], or the number itself, from 0, for a task
        that is one."""
        return predictions(self.schema.tasks, logits_CK.float(), self._label_scales())

    def scale_labels(self, scales: Scales) -> None:
        """Take over how the labels of tasks that are numbers are spread, as `label.TASK`."""
        for k, (name, task) in enumerate(self.schema.tasks.items()):
            if task.kind == "number" and (scale := scales.get(f"label.{name}")) is not None:
                self.label_mean[k], self.label_std[k] = scale.mean, scale.deviation

    def _label_scales(self) -> LabelScales:
        return LabelScales(self.label_mean, self.label_std)


def mean_of_known(sums_K: torch.Tensor, known_K: torch.Tensor) -> torch.Tensor:
    """[tasks]: sums over known labels, by how many (or how much weight) there are; 0 of none."""
    return sums_K / torch.where(known_K > 0, known_K, 1)


def _of_tables(name: str) -> bool:
    return name.startswith("tables.")


def _joined(asked: Asked, batch: JaggedBatch) -> dict[str, torch.Tensor]:
    """End to end; none of a table that no feature asks."""
    none = batch.window_start[:0]
    return {table: torch.cat([none, *of.values()]) for table, of in asked.items()}
