"""What Prometheus sees of a build of user rows: what the last one found, of which version of rows.

Set once, when a build is over. Ray's agent shows a gauge for 20 s after it was set last, also when
its process has ended: long enough for a Prometheus that looks every 10 s, and later it is asked for
by `last_over_time`.
"""

from rayrank.series import Series

R = ("rows",)

BUILT = Series("gauge", "rayrank_data_built_time_seconds", "when it was over, Unix time", R)
COMPLETE_UNTIL = Series(
    "gauge",
    "rayrank_data_complete_until_time_seconds",
    "until when the log was complete, Unix time",
    R,
)
EXPOSURES = Series("gauge", "rayrank_data_exposures", "in the rows it wrote", R)
ROWS = Series("gauge", "rayrank_data_user_rows", "that it wrote", R)
TOKENS = Series("gauge", "rayrank_data_tokens", "in them", R)
EVENTS = Series(
    "gauge",
    "rayrank_data_events",
    "read for a task; those that `belong` to an exposure, and those that are dropped",
    (*R, "task", "belong"),
)
LABELS = Series(
    "gauge",
    "rayrank_data_labels",
    "of a task; those not `known` are masked",
    (*R, "task", "known"),
)
POSITIVES = Series(
    "gauge", "rayrank_data_positive_labels", "of the known ones, of a binary task", (*R, "task")
)
LISTS_CUT = Series(
    "gauge",
    "rayrank_data_lists_cut",
    "lists of ids longer than their feature's limit, whose first ones count",
    (*R, "feature"),
)
SECONDS = Series(
    "gauge",
    "rayrank_data_seconds",
    "that it took: to `look` at the log, to `read` it, to `write` rows",
    (*R, "stage"),
)
BYTES = Series(
    "gauge",
    "rayrank_data_bytes",
    "of the `log`'s columns that were read, and of the files of `rows`",
    (*R, "of"),
)

SERIES = (
    BUILT,
    COMPLETE_UNTIL,
    EXPOSURES,
    ROWS,
    TOKENS,
    EVENTS,
    LABELS,
    POSITIVES,
    LISTS_CUT,
    SECONDS,
    BYTES,
)
