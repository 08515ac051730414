"""The dashboard of training."""

from rayrank.monitor.panels import (
    MACHINES,
    NODES,
    WINDOW,
    Dashboard,
    Panel,
    Query,
    Variable,
    of,
    per_second,
)
from rayrank.series import Series
from rayrank.train import series

R = "ranker, version"
NAMED = "{{ranker}} {{version}}"
CHOSEN = 'ranker=~"$Ranker"', 'version=~"$Version"'

WORKERS, ALIVE = 'Name="RayTrainWorker"', 'State="ALIVE"'
"""Told by the head. Workers tell of themselves too, as ALIVE_IDLE or ALIVE_RUNNING_TASKS."""


def _as_it_is(gauge: Series, by: str = R) -> str:
    return f"max by ({by}) ({of(gauge, *CHOSEN)})"


PROGRESS = (
    Panel(
        "Loss",
        "Nats per known label, summed over tasks, of the last step.",
        "short",
        (Query(_as_it_is(series.LOSS), NAMED),),
    ),
    Panel(
        "AUC",
        "Of the last 100 steps' predictions, made before those steps trained on them.",
        "short",
        (Query(_as_it_is(series.AUC, f"{R}, task"), f"{{{{task}}}}, {NAMED}"),),
    ),
    Panel(
        "Done",
        "Share of all epochs' batches.",
        "percentunit",
        (Query(_as_it_is(series.DONE), NAMED),),
    ),
    Panel(
        "Tokens per second",
        "Over all workers: of the last step, and the mean over a longer time.",
        "short",
        (
            Query(_as_it_is(series.RATE), f"last step, {NAMED}"),
            Query(per_second(series.TOKENS, R, *CHOSEN), f"mean, {NAMED}"),
        ),
    ),
    Panel(
        "FLOP per second",
        "Of the model, over all workers.",
        "short",
        (Query(_as_it_is(series.FLOPS), NAMED),),
    ),
    Panel(
        "MFU",
        "Share of what the devices could do at most.",
        "percentunit",
        (Query(_as_it_is(series.MFU), NAMED),),
        needs="a device whose peak is known",
    ),
)
TIME = (
    Panel(
        "Where a second goes",
        "On rank 0, share of its time by phase.",
        "percentunit",
        (
            Query(
                f"{per_second(series.PHASES, 'phase', *CHOSEN)} / on () group_left () "
                f"sum (rate({of(series.PHASES, *CHOSEN)}[{WINDOW}]))",
                "{{phase}}",
            ),
        ),
    ),
    Panel(
        "Waiting for batches",
        "Share of the time rank 0 had none: above a tenth, reading is too slow.",
        "percentunit",
        (
            Query(
                f"{per_second(series.WAITED, R, *CHOSEN)}"
                f" / {per_second(series.PHASES, R, *CHOSEN)}",
                NAMED,
            ),
        ),
    ),
    Panel(
        "Balance",
        "Work of the busiest rank over the mean: 1 is even.",
        "short",
        (Query(_as_it_is(series.BALANCE), NAMED),),
    ),
    Panel(
        "Workers",
        "Actors of Ray Train that are alive.",
        "short",
        (
            Query(
                f"sum by (Name) ({of('ray_actors', WORKERS, ALIVE)})",
                "{{Name}}",
            ),
        ),
    ),
)
TABLES = (
    Panel(
        "Load",
        "Ids over the table's capacity. At 1 there is no room: see what it evicts.",
        "percentunit",
        (Query(_as_it_is(series.TABLE_LOAD, "ranker, table"), "{{table}}"),),
    ),
    Panel(
        "Bytes",
        "Of the rows in use, over all workers.",
        "bytes",
        (Query(_as_it_is(series.TABLE_BYTES, "ranker, table"), "{{table}}"),),
    ),
    Panel(
        "Ids",
        "With a row, over all workers.",
        "short",
        (Query(_as_it_is(series.TABLE_IDS, "ranker, table"), "{{table}}"),),
    ),
    Panel(
        "Hit rate",
        "Share of the ids looked up in a step that had a row.",
        "percentunit",
        (Query(_as_it_is(series.TABLE_HITS, "ranker, table"), "{{table}}"),),
    ),
    Panel(
        "Ids that get a row, and that go",
        "Per second. Many of both: the table is too small for what is seen.",
        "short",
        (
            Query(per_second(series.TABLE_INSERTED, "table", *CHOSEN), "{{table}} in"),
            Query(per_second(series.TABLE_EVICTED, "table", *CHOSEN), "{{table}} out"),
        ),
    ),
    Panel(
        "Ids without a row",
        "Lookups refused per second, and ids not seen in enough steps.",
        "short",
        (
            Query(per_second(series.TABLE_REFUSED, "table", *CHOSEN), "{{table}} refused"),
            Query(_as_it_is(series.TABLE_WAITING, "ranker, table"), "{{table}} waiting"),
        ),
    ),
)

DASHBOARD = Dashboard(
    "rayrank-training",
    "rayrank: training",
    "Runs that are under way; a run that has ended shows nothing any more.",
    (
        NODES,
        Variable("Ranker", "ranker", str(series.LOSS)),
        Variable("Version", "version", str(series.LOSS)),
    ),
    (("Progress", PROGRESS), ("Time", TIME), ("Tables", TABLES), ("Machines", MACHINES)),
)
