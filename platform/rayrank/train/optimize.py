"""One optimizer step over dense parameters and tables, and the schedule both follow."""

from typing import NamedTuple

import torch
import torch.distributed as dist
from torchrec.distributed.model_parallel import DistributedModelParallel

from rayrank.data.jagged import JaggedBatch
from rayrank.embedding.sharded import ShardedTables
from rayrank.model.ranker import Ranker, mean_of_known
from rayrank.train.config import TrainConfig
from rayrank.train.finite import NotFiniteError
from rayrank.train.observed import Observed, Observer
from rayrank.train.phases import Phases


class Optimizer:
    """AdamW for what is replicated; row-wise Adagrad, fused into the backward pass, for tables."""

    def __init__(self, sharded: DistributedModelParallel, config: TrainConfig) -> None:
        self.sharded, self.config = sharded, config
        self.ranker: Ranker = sharded.module
        self.dense = self.ranker.dense_parameters()
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

    def step(self, batch: JaggedBatch, step: int, done: float) -> "StepFacts":
        """Forward, backward, update on this rank's batch. Collective.

        The loss of a task is the mean over the known labels of all ranks' batches (by their
        weights, where they have some), and so is the gradient: TorchRec and DDP average over ranks,
        so each rank scales its sum by ranks / known labels. The model's auxiliary loss, a sum as
        well, is scaled by ranks / candidates. Raises NotFiniteError, on every rank, before anything
        is changed.
        """
        self.phases.begin("forward")
        tables = tables_of(self.sharded)
        rate = self.rate(step, done)
        for group in self.adamw.param_groups:
            group["lr"] = self.config.learning_rate * rate
        tables.set_learning_rate(self.config.table_learning_rate * rate)

        with torch.autocast(
            batch.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"
        ):
            logits = self.sharded(batch)
            auxiliary = self.ranker.auxiliary_loss(batch)
        sums_K = self.ranker.loss_sums(logits, batch)
        known_K = self.ranker.known_labels(batch)
        # In float64: counts of tokens outgrow float32.
        counts = torch.tensor(
            [batch.candidates, batch.tokens, batch.users], dtype=torch.float64, device=batch.device
        )
        own = counts.new_zeros(1) if auxiliary is None else auxiliary.detach().reshape(1)
        observed = self.observer.own(logits, batch)
        mine = torch.cat([sums_K.detach(), own, known_K, counts, observed])
        self.phases.begin("totals")
        totals = mine.clone()
        dist.all_reduce(totals)
        totals = totals.cpu()  # the one time that a step waits for its device
        if not torch.isfinite(totals).all():
            raise NotFiniteError(mine=not torch.isfinite(mine).all())
        totals, observed = totals[: -len(observed)], totals[-len(observed) :]
        self.phases.begin("backward")
        tasks = len(sums_K)
        total_sums_K, total_known_K = totals[:tasks], totals[tasks + 1 : -3]
        total_own, (candidates, tokens, users) = float(totals[tasks]), totals[-3:].tolist()
        minimised = mean_of_known(sums_K, total_known_K.to(sums_K)).sum()
        if auxiliary is not None:
            minimised = minimised + auxiliary / candidates
        (minimised * dist.get_world_size()).backward()
        self.phases.begin("update")
        torch.nn.utils.clip_grad_norm_(self.dense.values(), self.config.clip_norm)
        self.adamw.step()
        self.adamw.zero_grad()
        self.ranker.after_step()
        loss = float(mean_of_known(total_sums_K, total_known_K).sum())
        return StepFacts(
            loss,
            int(candidates),
            int(tokens),
            int(users),
            total_own / candidates,
            self.observer.read(observed),
        )

    def state(self) -> dict[str, torch.Tensor]:
        """AdamW's state as named tensors: no pickling."""
        state = self.adamw.state_dict()["state"]
        return {
            f"{name}/{key}": value.clone()
            for i, name in enumerate(self.dense)
            for key, value in state.get(i, {}).items()
        }

    def load_state(self, tensors: dict[str, torch.Tensor]) -> None:
        """Take over what `state` gave."""
        state: dict[int, dict[str, torch.Tensor]] = {}
        numbers = {name: i for i, name in enumerate(self.dense)}
        for full_name, value in tensors.items():
            name, key = full_name.rsplit("/", 1)
            state.setdefault(numbers[name], {})[key] = value
        self.adamw.load_state_dict(self.adamw.state_dict() | {"state": state})


class StepFacts(NamedTuple):
    """What happened in one step, over all ranks."""

    loss: float
    """Nats per known label, summed over tasks."""
    candidates: int
    tokens: int
    users: int
    auxiliary: float
    """The model's auxiliary loss per candidate; 0 where it has none."""
    observed: Observed


def tables_of(sharded: DistributedModelParallel) -> ShardedTables:
    """The sharded tables of a wrapped ranker."""
    return sharded.module.tables
