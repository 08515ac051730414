"""What Prometheus sees of daily training: what came of the last day, when it was decided on. They
arrive as those of data do (`rayrank.data.series`)."""

from rayrank.series import Series

OF_A_DAY = ("ranker", "day")

DECIDED = Series(
    "gauge",
    "rayrank_day_decided_time_seconds",
    "when a day was `accepted` (and promoted) or `refused`, Unix time; by each gate it failed",
    (*OF_A_DAY, "outcome", "gate"),
)
AUC = Series(
    "gauge",
    "rayrank_day_auc",
    "of the model before on the day, of which it had learned nothing",
    (*OF_A_DAY, "task"),
)
SECONDS = Series("gauge", "rayrank_day_seconds", "that the day took, its rows included", OF_A_DAY)

SERIES = (DECIDED, AUC, SECONDS)
