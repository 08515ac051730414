"""The dashboard of data: builds of user rows, and training day by day."""

from rayrank.data import series as data
from rayrank.monitor.panels import (
    MACHINES,
    NODES,
    STEP,
    Dashboard,
    Panel,
    Query,
    Variable,
    last,
    of,
)
from rayrank.run import series as day

WEEK, MONTH = "7d", "30d"
NAMED = 'Name=~"look at .*|read .*|sort items|user rows"'
"""What Ray calls a build's tasks."""
UNDER_WAY = 'State!~"FINISHED|FAILED"'
KNOWN, UNKNOWN = 'known="true"', 'known="false"'
NO_EXPOSURE = 'belong="false"'
CHOSEN = 'ranker=~"$Ranker"'


BUILDS = (
    Panel(
        "Last build",
        "How long ago it was over, and how far the log went then.",
        "s",
        (
            Query(f"time() - {last(data.BUILT, 'rows', WEEK)}", "built, {{rows}}"),
            Query(f"time() - {last(data.COMPLETE_UNTIL, 'rows', WEEK)}", "log until, {{rows}}"),
        ),
        "numbers",
    ),
    Panel(
        "What it made",
        "Exposures become user rows, these tokens.",
        "short",
        (
            Query(last(data.EXPOSURES, "rows", WEEK), "exposures"),
            Query(last(data.ROWS, "rows", WEEK), "user rows"),
            Query(last(data.TOKENS, "rows", WEEK), "tokens"),
        ),
        "numbers",
    ),
    Panel(
        "Exposures and rows",
        "A build each; a day that is much smaller than those before lacks data.",
        "short",
        (
            Query(last(data.EXPOSURES, "rows", STEP), "exposures"),
            Query(last(data.ROWS, "rows", STEP), "user rows"),
        ),
        "points",
    ),
    Panel(
        "Seconds of a build",
        "To look at the log's times, to read it, to write rows.",
        "s",
        (Query(last(data.SECONDS, "stage", STEP), "{{stage}}"),),
        "points",
    ),
    Panel(
        "Bytes of a build",
        "Columns of the log that were read, files of rows that were written.",
        "bytes",
        (Query(last(data.BYTES, "of", STEP), "{{of}}"),),
        "points",
    ),
    Panel(
        "Tasks at work",
        "Of a build that is under way, by name.",
        "short",
        (
            Query(
                f"sum by (Name) ({of('ray_tasks', NAMED, UNDER_WAY)})",
                "{{Name}}",
            ),
        ),
    ),
)
LABELS = (
    Panel(
        "Labels not known",
        "Share that is masked; it falls as labels mature.",
        "percentunit",
        (
            Query(
                f"{last(data.LABELS, 'task', STEP, UNKNOWN)}"
                f" / sum by (task) (max by (task, known) "
                f"(last_over_time({of(data.LABELS)}[{STEP}])))",
                "{{task}}",
            ),
        ),
        "points",
    ),
    Panel(
        "Positive labels",
        "Share of the known ones. A jump is a change in the log, or in what users do.",
        "percentunit",
        (
            Query(
                f"{last(data.POSITIVES, 'task', STEP)} / {last(data.LABELS, 'task', STEP, KNOWN)}",
                "{{task}}",
            ),
        ),
        "points",
    ),
    Panel(
        "Events that belong to no exposure",
        "Share that is dropped.",
        "percentunit",
        (
            Query(
                f"{last(data.EVENTS, 'task', STEP, NO_EXPOSURE)}"
                f" / sum by (task) (max by (task, belong) "
                f"(last_over_time({of(data.EVENTS)}[{STEP}])))",
                "{{task}}",
            ),
        ),
        "points",
        needs="a task that follows from events",
    ),
    Panel(
        "Lists cut",
        "Lists of ids longer than their feature's limit.",
        "short",
        (Query(last(data.LISTS_CUT, "feature", STEP), "{{feature}}"),),
        "points",
        needs="a feature that is a list",
    ),
)
DAYS = (
    Panel(
        "Since a day was promoted",
        "Serving learns nothing new in this time.",
        "s",
        (
            Query(
                "time() - " + last(day.DECIDED, "ranker", MONTH, 'outcome="accepted"', CHOSEN),
                "{{ranker}}",
            ),
        ),
        "numbers",
    ),
    Panel(
        "Days decided on",
        "In 30 days, by what came of them.",
        "short",
        (
            Query(
                "count by (ranker, outcome) (max by (ranker, day, outcome) "
                f"(last_over_time({of(day.DECIDED, CHOSEN)}"
                f"[{MONTH}])))",
                "{{ranker}} {{outcome}}",
            ),
        ),
        "numbers",
    ),
    Panel(
        "Refused by",
        "Days a gate refused, in 30 days; a day may fail several.",
        "short",
        (
            Query(
                "count by (ranker, gate) (max by (ranker, day, gate) (last_over_time("
                + of(day.DECIDED, 'outcome="refused"', CHOSEN)
                + f"[{MONTH}])))",
                "{{ranker}} {{gate}}",
            ),
        ),
        "numbers",
    ),
    Panel(
        "AUC of the model before, on the day",
        "Of a day it had learned nothing of.",
        "short",
        (
            Query(
                last(day.AUC, "ranker, task", STEP, CHOSEN),
                "{{ranker}} {{task}}",
            ),
        ),
        "points",
    ),
    Panel(
        "What a day takes",
        "From its log to its promotion.",
        "s",
        (Query(last(day.SECONDS, "ranker", STEP, CHOSEN), "{{ranker}}"),),
        "points",
    ),
    Panel(
        "Age of the log",
        "How far behind now the log ended when it was last built from.",
        "s",
        (
            Query(
                f"{last(data.BUILT, 'rows', STEP)} - {last(data.COMPLETE_UNTIL, 'rows', STEP)}",
                "{{rows}}",
            ),
        ),
        "points",
    ),
)

DASHBOARD = Dashboard(
    "rayrank-data",
    "rayrank: data and days",
    "Builds of user rows, and daily training. Values come when a build is over, a day decided on.",
    (NODES, Variable("Ranker", "ranker", str(day.DECIDED))),
    (
        ("Builds", BUILDS),
        ("Labels", LABELS),
        ("Day by day", DAYS),
        ("Machines", MACHINES[:2]),
    ),
)
