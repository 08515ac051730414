"""The dashboard of serving."""

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
    quantile,
)
from rayrank.series import Series
from rayrank.serve import series

V = "version"
NAMED = "{{version}}"
CHOSEN = 'application=~"$Application"', 'version=~"$Version"'
OF_APP = CHOSEN[:1]
FAULTS, LATE = 'status=~"5..", status!~"503|504"', 'status=~"503|504"'
NOT_DROPPED = 'kept!="dropped"'


def _of_now(gauge: Series | str, how: str, by: str, *matchers: str) -> str:
    return f"{how} by ({by}) ({of(gauge, *matchers)})"


ANSWERS = (
    Panel(
        "Answers by status",
        "Per second. 499 is a client that did not wait; 503 and 504 are too late, or would be.",
        "reqps",
        (Query(per_second(series.REQUESTS, "status", *OF_APP), "{{status}}"),),
    ),
    Panel(
        "Errors",
        "Share of answers that are faults (5xx), and that are too late (503, 504).",
        "percentunit",
        (
            Query(
                f"(sum(rate({of(series.REQUESTS, *OF_APP, FAULTS)}[{WINDOW}])) or vector(0))"
                f" / sum(rate({of(series.REQUESTS, *OF_APP)}[{WINDOW}]))",
                "faults",
            ),
            Query(
                f"(sum(rate({of(series.REQUESTS, *OF_APP, LATE)}[{WINDOW}])) or vector(0))"
                f" / sum(rate({of(series.REQUESTS, *OF_APP)}[{WINDOW}]))",
                "too late",
            ),
        ),
    ),
    Panel(
        "Errors at the proxy",
        "Per second: also those that no replica saw, such as 503 while none is there.",
        "reqps",
        (
            Query(
                per_second("ray_serve_num_http_error_requests_total", "error_code", *OF_APP),
                "{{error_code}}",
            ),
        ),
    ),
    Panel(
        "Candidates per second",
        "Scored, by version.",
        "short",
        (Query(per_second(series.CANDIDATES, V, *CHOSEN), NAMED),),
    ),
    Panel(
        "Latency",
        "From a request's body to its answer, by version.",
        "ms",
        tuple(
            Query(quantile(q, series.LATENCY, V, *CHOSEN), f"p{100 * q:.0f} {NAMED}")
            for q in (0.5, 0.95, 0.99)
        ),
    ),
    Panel(
        "p95 of each phase",
        "Where the time goes. wait: for the engine; prefix: for users not seen lately.",
        "ms",
        (Query(quantile(0.95, series.PHASES, "phase", *CHOSEN), "{{phase}}"),),
    ),
    Panel(
        "Waiting for the engine",
        "Tokens; what is let in is decided by how long these would take.",
        "short",
        (Query(_of_now(series.WAITING, "sum", V, *CHOSEN), NAMED),),
    ),
)
ENGINE = (
    Panel(
        "Tokens in a batch",
        "How full they are: few is an engine with time to spare.",
        "short",
        (
            Query(
                f"{per_second(series.TOKENS, V, *CHOSEN)}"
                f" / {per_second(series.BATCHES, V, *CHOSEN)}",
                NAMED,
            ),
        ),
    ),
    Panel(
        "Prefixes",
        "Users' prefixes by what was kept of them: found and extended are the cache's hits.",
        "percentunit",
        (
            Query(
                f"{per_second(series.PREFIXES, 'kept', *CHOSEN, NOT_DROPPED)}"
                " / on () group_left () "
                f"sum(rate({of(series.PREFIXES, *CHOSEN, NOT_DROPPED)}[{WINDOW}]))",
                "{{kept}}",
            ),
        ),
        needs="a model that reads a user once, as MTGR does",
    ),
    Panel(
        "Prefixes dropped for room",
        "Per second.",
        "short",
        (Query(per_second(series.PREFIXES, V, *CHOSEN, 'kept="dropped"'), NAMED),),
        needs="more users than the cache holds",
    ),
    Panel(
        "Replicas",
        "Healthy ones, and how many Serve wants.",
        "short",
        (
            Query(
                "sum by (application) (max by (application, replica) (last_over_time("
                f"{of('ray_serve_deployment_replica_healthy', *OF_APP)}[1m])))",
                "healthy, {{application}}",
            ),
            Query(
                _of_now("ray_serve_autoscaling_target_replicas", "max", "application", *OF_APP),
                "wanted, {{application}}",
            ),
        ),
    ),
)
BUNDLES = (
    Panel(
        "Age of bundles",
        "Since they were written, of each version that is loaded.",
        "s",
        (Query(_of_now(series.AGE, "max", V, *CHOSEN), NAMED),),
    ),
    Panel(
        "Switches",
        "To another version, by success; false is a bundle that was refused.",
        "short",
        (
            Query(
                f"sum by (ok) ({of(series.SWITCHES, *OF_APP)})",
                "ok={{ok}}",
            ),
        ),
        needs="a promotion while it serves",
    ),
    Panel(
        "Drift",
        "Population stability index against export's record: above 0.25 it is another population.",
        "short",
        (Query(_of_now(series.DRIFT, "max", "of, version", *CHOSEN), "{{of}}"),),
        needs="enough requests to tell",
    ),
    Panel(
        "Odd input",
        "Per second: numbers beyond what training saw, behaviours ahead of the clock.",
        "short",
        (
            Query(per_second(series.CLAMPED, "feature", *OF_APP), "{{feature}}"),
            Query(per_second(series.AHEAD, "application", *OF_APP), "ahead of the clock"),
        ),
        needs="odd input",
    ),
    Panel(
        "Shadow",
        "p95 of the mean difference from what was answered, and requests it did not score.",
        "short",
        (
            Query(quantile(0.95, series.SHADOW, "task", *OF_APP), "{{task}}"),
            Query(per_second(series.UNSHADOWED, "why", *OF_APP), "not scored: {{why}}"),
        ),
        needs="a shadow",
    ),
    Panel(
        "Canary",
        "Requests per second that it refused, and current answered.",
        "reqps",
        (Query(per_second(series.UNFIT, "application", *OF_APP), "{{application}}"),),
        needs="a canary of another schema",
    ),
)

DASHBOARD = Dashboard(
    "rayrank-serving",
    "rayrank: serving",
    "The application; checks of new bundles are the application `check`.",
    (
        NODES,
        Variable("Application", "application", str(series.AGE)),
        Variable("Version", "version", str(series.AGE)),
    ),
    (
        ("Answers", ANSWERS),
        ("Engine", ENGINE),
        ("Bundles", BUNDLES),
        ("Machines", MACHINES),
    ),
)
