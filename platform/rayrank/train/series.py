"""What Prometheus sees of a training run: of which ranker and version, as under rankers/."""

from rayrank.series import Series

OF_A_RANKER = ("ranker", "version")
TASK, TABLE = (*OF_A_RANKER, "task"), (*OF_A_RANKER, "table")

LOSS = Series("gauge", "rayrank_train_loss", "nats per candidate of the last step", OF_A_RANKER)
AUC = Series("gauge", "rayrank_train_auc", "of the last steps' predictions", TASK)
DONE = Series("gauge", "rayrank_train_done", "share of its batches that are done", OF_A_RANKER)
RATE = Series("gauge", "rayrank_train_tokens_per_second", "over all workers", OF_A_RANKER)
FLOPS = Series(
    "gauge",
    "rayrank_train_flops_per_second",
    "of the model, over all workers",
    OF_A_RANKER,
)
MFU = Series(
    "gauge",
    "rayrank_train_mfu",
    "share of what the devices could do at most; not there where that is not known (CPUs)",
    OF_A_RANKER,
)
BALANCE = Series(
    "gauge", "rayrank_train_balance", "work of the busiest rank over the mean", OF_A_RANKER
)
TOKENS = Series("counter", "rayrank_train_tokens_total", "tokens trained on", OF_A_RANKER)
WAITED = Series(
    "counter",
    "rayrank_train_waited_seconds_total",
    "without a batch to train on, on rank 0",
    OF_A_RANKER,
)
PHASES = Series(
    "counter",
    "rayrank_train_phase_seconds_total",
    "where rank 0's time went",
    (*OF_A_RANKER, "phase"),
)
TABLE_IDS = Series("gauge", "rayrank_train_table_ids", "with a row, over all workers", TABLE)
TABLE_LOAD = Series("gauge", "rayrank_train_table_load", "ids over the table's capacity", TABLE)
TABLE_BYTES = Series(
    "gauge", "rayrank_train_table_bytes", "of the rows in use, over all workers", TABLE
)
TABLE_HITS = Series(
    "gauge",
    "rayrank_train_table_hit_rate",
    "share of the ids looked up in a step that had a row",
    TABLE,
)
TABLE_WAITING = Series(
    "gauge", "rayrank_train_table_waiting", "ids not seen in enough steps for a row", TABLE
)
TABLE_INSERTED = Series(
    "counter", "rayrank_train_table_inserted_total", "ids that got a row", TABLE
)
TABLE_EVICTED = Series("counter", "rayrank_train_table_evicted_total", "ids that went", TABLE)
TABLE_REFUSED = Series(
    "counter", "rayrank_train_table_refused_total", "lookups of ids that got no row", TABLE
)

OF_TABLES = {
    "ids": TABLE_IDS,
    "load": TABLE_LOAD,
    "bytes": TABLE_BYTES,
    "hit_rate": TABLE_HITS,
    "waiting": TABLE_WAITING,
}
"""By what the journal calls them: as they are after a step."""
COUNTED_OF_TABLES = {
    "inserted": TABLE_INSERTED,
    "evicted": TABLE_EVICTED,
    "refused": TABLE_REFUSED,
}
"""The same: as they happen."""

SERIES = (
    LOSS,
    AUC,
    DONE,
    RATE,
    FLOPS,
    MFU,
    BALANCE,
    TOKENS,
    WAITED,
    PHASES,
    *OF_TABLES.values(),
    *COUNTED_OF_TABLES.values(),
)
