"""What Prometheus sees of serving."""

from rayrank.series import Series

MILLISECONDS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""What latencies are counted by."""
DIFFERENCES = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
"""What differences of scores are counted by."""
V = ("version",)

REQUESTS = Series(
    "counter",
    "rayrank_requests_total",
    "every answer; 499 is a client that went",
    ("status", *V),
)
LATENCY = Series("histogram", "rayrank_request_ms", "from a body to its answer", V, MILLISECONDS)
PHASES = Series(
    "histogram",
    "rayrank_phase_ms",
    "where that time went: parse, wait, copy, prefix, candidates, post",
    ("phase", *V),
    MILLISECONDS,
)
CANDIDATES = Series("counter", "rayrank_candidates_total", "candidates scored", V)
AHEAD = Series(
    "counter", "rayrank_ahead_total", "behaviours ahead of the clock, which count as known now"
)
CLAMPED = Series(
    "counter",
    "rayrank_clamped_total",
    "numbers taken for the edge of what training saw",
    ("feature",),
)
UNFIT = Series(
    "counter",
    "rayrank_canary_unfit_total",
    "requests that a canary of another schema refused; `current` answered them",
)
SWITCHES = Series("counter", "rayrank_switches_total", "to another version, or not", ("ok",))
SHADOW = Series(
    "histogram",
    "rayrank_shadow_difference",
    "of the shadow's scores from those that were answered, a request's mean",
    ("task",),
    DIFFERENCES,
)
UNSHADOWED = Series(
    "counter", "rayrank_unshadowed_total", "requests that the shadow did not score", ("why",)
)
DRIFT = Series(
    "gauge",
    "rayrank_drift",
    "population stability index against export's record",
    ("of", *V),
)
AGE = Series("gauge", "rayrank_bundle_age_s", "since the bundle was written", V)
WAITING = Series("gauge", "rayrank_queue_tokens", "tokens that wait for the engine", V)
BATCHES = Series("counter", "rayrank_batches_total", "batches scored", V)
TOKENS = Series(
    "counter",
    "rayrank_batch_tokens_total",
    "tokens scored; over batches, how full they are",
    V,
)
PREFIXES = Series(
    "counter",
    "rayrank_prefixes_total",
    "the cache's hits (`found`, `extended`), misses (`encoded`), and what was `dropped` for room",
    ("kept", *V),
)

SERIES = (
    REQUESTS,
    LATENCY,
    PHASES,
    CANDIDATES,
    AHEAD,
    CLAMPED,
    UNFIT,
    SWITCHES,
    SHADOW,
    UNSHADOWED,
    DRIFT,
    AGE,
    WAITING,
    BATCHES,
    TOKENS,
    PREFIXES,
)
