"""How a ranker is trained."""

from typing import Annotated, Literal

from pydantic import Field

from rayrank.embedding.budget import TablesConfig
from rayrank.model.build import AnyModelConfig
from rayrank.schema import ViewConfig
from rayrank.strict import Positive, Strict, Uri

NEW_IDS = 2
"""Ids that a token of a step brings at most, for which tables that evict keep rows free."""


class TrainConfig(Strict):
    """Workers, batches, optimizers, checkpoints."""

    workers: Positive = 2
    """Processes, each with its share of every step's users and of the tables' rows."""
    threads: Positive | None = None
    """Of each worker, for what it computes on CPUs; the cluster's CPUs shared out unless said. One
    where several trainings share a machine: threads that wait for each other's turn cost more than
    they bring."""
    use_gpu: bool = False
    """One GPU per worker, over NCCL; otherwise CPUs, over Gloo."""
    epochs: Positive = 1
    """Times that every user row is trained."""
    accumulate: Positive = 1
    """Batches of each worker whose gradients are added up to one step: as if all were one batch, in
    the memory of one."""
    max_cost: Annotated[float, Field(gt=0)] = 4096
    """Cost of a batch, at most, in tokens that cost as much as the training rows' tokens do on
    average: about the tokens of a batch; fewer of long rows, whose tokens see more."""
    pair_cost: Annotated[float, Field(ge=0)] | None = None
    """Of a visible pair (a query and a key that it attends to), in what a token costs beside its
    pairs: by the model's FLOPs (null), or as measured on the device at hand (jobs/calibrate.py).
    Batches of a step cost the same by it, so that no rank waits for another."""
    read_by: Literal["workers", "cluster"] = "workers"
    """Where rows are read: in the workers, or, for GPU hosts of few CPUs, by Ray Data wherever the
    cluster has a CPU that is free. The same batches, bit for bit."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """AdamW's, of the dense parameters."""
    table_learning_rate: Annotated[float, Field(gt=0)] = 0.02
    """Row-wise Adagrad's, of the embedding tables."""
    tables: TablesConfig = TablesConfig()
    """What embedding tables may hold, and what makes room (docs/tables.md)."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's, of the dense parameters."""
    warmup_steps: Annotated[int, Field(ge=0)] = 20
    """Both rates rise linearly over these, then fall linearly to `final_rate` of themselves."""
    final_rate: Annotated[float, Field(ge=0, le=1)] = 0.02
    """What is left of both rates at the last step."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """The largest norm of a step's gradient, of dense parameters and table rows together."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the encoder's matrix products; weights and optimizer stay in float32. float16's loss is
    scaled, and a step whose gradient overflows is skipped, and said."""
    stochastic_length: Annotated[float, Field(gt=1, le=2)] | None = None
    """HSTU's alpha, in (1, 2]: in training a sequence that may keep N behaviours is mostly seen as
    N^(alpha/2) of them, recent ones rather, drawn anew each epoch. Not in evaluation. (Batches are
    packed by whole rows: they cost less then, and less alike.)"""
    dense: Literal["replicated", "sharded"] = "replicated"
    """Dense parameters, their gradients and AdamW's state: whole on every worker, or a share of
    each on each (FSDP2), so that a large model fits; each layer is then gathered while it runs.
    Equal but for rounding."""
    recompute: bool = False
    """Whether layers are computed again in the backward pass, rather than kept: less memory, by all
    but one layer's, for a third more work."""
    peak_tflops: Annotated[float, Field(gt=0)] | None = None
    """What one worker's device could do at most, in TFLOP/s, of which MFU is a share; null: what is
    known of NVIDIA's GPUs (dense bfloat16), and of CPUs nothing, so that they have no MFU."""
    checkpoint_every: Positive = 200
    """In steps."""
    keep_checkpoints: Positive = 2
    """The newest ones; older ones are removed."""
    keep_best: bool = False
    """Whether the epoch that was best on later data is the finished ranker, rather than the last
    one: a checkpoint is then saved after each, and the best one kept too."""
    max_failures: Annotated[int, Field(ge=0)] = 3
    """How often a run may lose workers and go on from its checkpoint. A node that is told to go (a
    spot instance that is taken back) does not count."""
    waits_s: Annotated[float, Field(gt=0)] = 3600.0
    """For how long a run waits for places for its workers (in steps of a minute), at its start and
    after it lost some; then it ends, and says what it lacks."""
    hangs_after_s: Annotated[float, Field(gt=0)] = 900.0
    """For how long a worker may take no step, save no checkpoint and end no validation. Then it
    writes where it stands (`stacks`), and ends; it counts as lost."""
    start_from: Uri | None = None
    """What to begin with: a finished training run (`RUN_DIR/rankers/NAME/VERSION`), or a checkpoint
    in one, of this model or of one much like it; from nothing unless said (docs/daily.md)."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of initial weights and vectors, the order of batches, and dropout."""

    def new_ids(self, ranks: int) -> int:
        """That a step of so many ranks brings at most, over all of them and all tables."""
        return int(NEW_IDS * self.max_cost) * ranks * self.accumulate


class RankerConfig(Strict):
    """A model, how it is trained, and on what of the rows."""

    model: AnyModelConfig
    train: TrainConfig = TrainConfig()
    # Not written where nothing is said: what was made from a config before keeps its name.
    view: ViewConfig = Field(default=ViewConfig(), exclude_if=lambda view: view == ViewConfig())
    """What of the rows it reads, where that is not all (docs/training.md)."""

    def pair_cost(self) -> float:
        """Of a visible pair, beside a token: what is said, or the model's FLOPs say."""
        told = self.train.pair_cost
        return self.model.pair_in_tokens() if told is None else told
