"""One optimizer step over dense parameters and tables, and the schedule both follow."""

from collections.abc import Sequence
from math import isfinite, sqrt
from typing import NamedTuple

import torch
import torch.distributed as dist
from torchrec.distributed.model_parallel import DistributedModelParallel

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.facts import StepTables, TableFacts
from rayrank.embedding.sharded import ShardedTables
from rayrank.model.ranker import Ranker, mean_of_known
from rayrank.tensors import copies, held_as
from rayrank.train.config import TrainConfig
from rayrank.train.dense import (
    after_step,
    average_gradients,
    gradient_square,
    make_alike,
    own_gradients,
    shard_dense,
)
from rayrank.train.finite import NotFiniteError
from rayrank.train.loss_scale import START, LossScale
from rayrank.train.observed import Observed, Observer
from rayrank.train.phases import Phases
from rayrank.train.step_weight import StepWeight

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
LOSS_SCALE, STEP_WEIGHT = "loss_scale", "step_weight"
"""The names of their tensors in the state."""


class Optimizer:
    """AdamW for what is dense; row-wise Adagrad, fused by TorchRec, for tables."""

    def __init__(self, sharded: DistributedModelParallel, config: TrainConfig) -> None:
        self.sharded, self.config = sharded, config
        self.ranker: Ranker = sharded.module
        whole = self.ranker.dense_parameters()
        make_alike(whole.values())
        if config.dense == "sharded":
            shard_dense(self.ranker, next(iter(whole.values())).device.type)
        self.dense = self.ranker.dense_parameters()
        self.scale = LossScale(START if config.precision == "float16" else 1.0)
        self.weight = StepWeight()
        self.adamw = torch.optim.AdamW(
            self.dense.values(),
            lr=config.learning_rate,
            betas=(0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.observer = Observer(self.ranker)
        self.phases = Phases(next(iter(self.dense.values())).device)

    def rate(self, step: int, done: float) -> float:
        """The share of the full learning rates at a step, `done` being the share of the run's
        batches that came before: linear warm-up, then linear decay."""
        config = self.config
        warm = min(1.0, (step + 1) / (config.warmup_steps + 1))
        return warm * (1.0 - (1.0 - config.final_rate) * done)

    def step(
        self,
        batches: Sequence[JaggedBatch],
        step: int,
        done: float,
        ahead: JaggedBatch | None = None,
        *,
        warned: bool = False,
    ) -> "StepFacts":
        """Forward, backward, update on this rank's batches, which are as many on every rank.
        Collective. ahead: the first one of the next step, where there is one; each batch's ids are
        exchanged under the batch before.

        The loss of a task is the mean over the known labels of all batches of all ranks (by their
        weights, where they have some), and so is the gradient: each batch's sum is divided by the
        known labels of all. The model's auxiliary loss, a sum as well, is divided by all
        candidates. The gradient of dense parameters and table rows together, each row's over all
        ranks, is scaled down to the norm `clip_norm`, and by the step's candidates over their mean
        in the steps before (`step_weight`). Raises, on every rank and before anything is changed,
        NotFiniteError for a loss or a gradient that is not finite, and CapacityError for tables
        that hold more than they may. warned: whether this rank
        was told of a node that is to go; how many were comes with the totals.
        """
        self.phases.begin("totals")
        tables, counts = tables_of(self.sharded), self._counts(batches, warned)
        known_K, candidates = counts[:-4], counts[-4]
        sums = counts.new_zeros(len(known_K) + 1)
        observed: torch.Tensor | None = None
        for batch, coming in zip(batches, [*batches[1:], ahead], strict=True):
            self.phases.begin("forward")
            if not tables.is_asked():
                tables.ask(self.ranker.ids(batch))
            if coming is not None:
                tables.ask(self.ranker.ids(coming))
            logits_CK, auxiliary = self._forward(batch)
            tables.send()
            sums_K = self.ranker.loss_sums(logits_CK, batch)
            sums[:-1] += sums_K.detach()
            seen = self.observer.own(logits_CK.detach(), batch)
            observed = seen if observed is None else observed + seen
            minimised = mean_of_known(sums_K, known_K.to(sums_K)).sum()
            if auxiliary is not None:
                sums[-1] += auxiliary.detach()
                minimised = minimised + auxiliary / candidates.to(auxiliary)
            # TorchRec averages over ranks, and so do FSDP and `average_gradients`.
            self.phases.begin("backward")
            (minimised * (dist.get_world_size() * self.scale.value)).backward()
            tables.gather_gradients()
        assert observed is not None
        self.phases.begin("totals")
        average_gradients(list(self.dense.values()))
        square = gradient_square(list(self.dense.values())) + tables.gradient_square(sums.device)
        of_tables = tables.counts()
        of_all = torch.cat([sums, square[None], observed, of_tables])
        dist.all_reduce(of_all)
        # The one time that a step waits for its device.
        told = torch.cat([sums, of_all, counts]).cpu()
        mine, totals, seen, of_tables, counts = told.split(
            [len(sums), len(sums) + 1, len(observed), len(of_tables), len(counts)]
        )
        held = tables.heard(of_tables)
        facts = _facts(totals, counts, self.scale.value, self.observer.read(seen), held)
        if not isfinite(facts.loss + facts.auxiliary):
            raise NotFiniteError("loss", mine=not torch.isfinite(mine).all())
        if not isfinite(facts.gradient_norm):
            if not self.scale.overflowed():
                raise NotFiniteError("gradient", mine=True)  # it is everybody's by now
            self.adamw.zero_grad()
            tables.forget_gradients()
            tables.end_step(held)
            return facts
        self.phases.begin("update")
        self.scale.went_well()
        clipped = min(1.0, self.config.clip_norm / max(facts.gradient_norm, 1e-12))
        weight = self.weight.of(facts.candidates)
        self._update(weight * clipped / facts.loss_scale, self.rate(step, done))
        tables.end_step(held)
        return facts

    def _counts(self, batches: Sequence[JaggedBatch], warned: bool) -> torch.Tensor:
        """Float64 [tasks + 4], over all ranks: known labels by task, candidates, tokens, users;
        ranks that are warned."""
        told = [
            sum(batch.candidates for batch in batches),
            sum(batch.tokens for batch in batches),
            sum(batch.users for batch in batches),
            warned,
        ]
        known = [self.ranker.known_labels(batch).double() for batch in batches]
        # In float64: counts of tokens outgrow float32.
        own = torch.tensor(told, dtype=torch.float64, device=known[0].device)
        counts = torch.cat([torch.stack(known).sum(0), own])
        dist.all_reduce(counts)
        return counts

    def _forward(self, batch: JaggedBatch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """logits_CK; the model's auxiliary loss."""
        with in_precision(self.config, batch.device):
            return self.sharded(batch), self.ranker.auxiliary_loss(batch)

    def _update(self, scale: float, rate: float) -> None:
        """By the gradients times `scale`, at this share of the learning rates."""
        for group in self.adamw.param_groups:
            group["lr"] = self.config.learning_rate * rate
        torch._foreach_mul_(own_gradients(list(self.dense.values())), scale)
        self.adamw.step()
        self.adamw.zero_grad()
        tables = tables_of(self.sharded)
        tables.set_learning_rate(self.config.table_learning_rate * rate)
        tables.update(scale)
        after_step(self.ranker, self.dense)

    def state(self, wanted: bool = True) -> dict[str, torch.Tensor]:
        """AdamW's state and the loss's scale as named tensors, whole, in CPU memory: no pickling.
        {} on a rank that does not want it. Collective where dense parameters are sharded."""
        state = self.adamw.state_dict()["state"]
        own = torch.tensor([self.scale.value, self.scale.good], dtype=torch.float64)
        values = {
            f"{name}/{key}": value
            for i, name in enumerate(self.dense)
            for key, value in state.get(i, {}).items()
        }
        return copies({LOSS_SCALE: own, STEP_WEIGHT: self.weight.state(), **values}, wanted)

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take over what `state` gave, or a part of it."""
        if LOSS_SCALE in tensors:
            value, good = tensors[LOSS_SCALE].tolist()
            self.scale = LossScale(value, int(good))
        if STEP_WEIGHT in tensors:
            self.weight = StepWeight(tensors[STEP_WEIGHT])
        state: dict[int, dict[str, torch.Tensor]] = {}
        numbers = {name: i for i, name in enumerate(self.dense)}
        for full_name, tensor in tensors.items():
            name, _, key = full_name.rpartition("/")
            if name:
                # Its count of steps is nobody's share.
                of = self.dense[name] if tensor.ndim else tensor
                state.setdefault(numbers[name], {})[key] = held_as(tensor, of)
        self.adamw.load_state_dict(self.adamw.state_dict() | {"state": state})


def in_precision(config: TrainConfig, device: torch.device) -> torch.autocast:
    """What a forward pass runs under."""
    half = HALVES.get(config.precision)
    return torch.autocast(device.type, half, enabled=half is not None)


class StepFacts(NamedTuple):
    """What happened in one step, over all ranks."""

    loss: float
    """What is minimised: nats per known label, summed over tasks."""
    candidates: int
    tokens: int
    users: int
    auxiliary: float
    """The model's auxiliary loss per candidate; 0 where it has none."""
    gradient_norm: float
    """Of dense parameters and table rows together, before it was clipped. Not finite where float16
    overflowed: the step then changed nothing but the loss's scale."""
    loss_scale: float
    """That the step was taken with; 1 but for float16."""
    observed: Observed
    tables: dict[str, TableFacts]
    """Table -> what it held when the step was taken."""
    warned: int = 0
    """Ranks that were told of a node that is to go (`preemption`)."""


def _facts(
    totals: torch.Tensor,
    counts: torch.Tensor,
    loss_scale: float,
    observed: Observed,
    held: StepTables,
) -> StepFacts:
    sums_K, (auxiliary, square) = totals[:-2], totals[-2:].tolist()
    known_K, (candidates, tokens, users, warned) = counts[:-4], counts[-4:].tolist()
    loss = float(mean_of_known(sums_K, known_K).sum())
    return StepFacts(
        loss=loss,
        candidates=int(candidates),
        tokens=int(tokens),
        users=int(users),
        auxiliary=auxiliary / candidates,
        gradient_norm=sqrt(square) / loss_scale,
        loss_scale=loss_scale,
        observed=observed,
        tables=held.tables,
        warned=int(warned),
    )


def tables_of(sharded: DistributedModelParallel) -> ShardedTables:
    """The sharded tables of a wrapped ranker."""
    return sharded.module.tables
