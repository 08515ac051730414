"""A request's phases as OpenTelemetry spans, where Ray Serve's tracing is on and the caller's trace
(`traceparent`) is sampled."""

import time
from collections.abc import Mapping

from opentelemetry import trace


def trace_phases(phases_ms: Mapping[str, float]) -> None:
    """Phases that followed one another until now, as children of the current span."""
    if not trace.get_current_span().is_recording():
        return
    tracer = trace.get_tracer("rayrank")
    at = time.time_ns() - int(1e6 * sum(phases_ms.values()))
    for name, ms in phases_ms.items():
        span = tracer.start_span(f"rayrank.{name}", start_time=at)
        at += int(1e6 * ms)
        span.end(at)
