"""What a dashboard is made of, and how panels ask for series."""

from typing import Literal, NamedTuple

from rayrank.series import Series

CLUSTER = 'ray_io_cluster=~"$Cluster"'
"""On Kubernetes the monitors label what they scrape so; elsewhere `$Cluster` is all there is."""
WINDOW = "$__rate_interval"
STEP = "$__interval"
"""Grafana's names for times that fit the resolution: to take rates over, and between two points."""

Kind = Literal["lines", "points", "numbers"]
"""Over time; over time where a value comes now and then; the last one."""


class Query(NamedTuple):
    """In PromQL."""

    expr: str
    legend: str
    """`{{label}}` stands for a label's value."""


class Panel(NamedTuple):
    """A chart."""

    title: str
    says: str
    """What to read from it."""
    unit: str
    """As Grafana names it."""
    queries: tuple[Query, ...]
    kind: Kind = "lines"
    needs: str = ""
    """Where a cluster that works may show nothing: what it lacks."""


class Variable(NamedTuple):
    """What whoever looks may choose: values of a label of a series; all of them unless chosen."""

    name: str
    label: str
    series: str


class Dashboard(NamedTuple):
    """A page of panels, in sections."""

    uid: str
    title: str
    says: str
    variables: tuple[Variable, ...]
    sections: tuple[tuple[str, tuple[Panel, ...]], ...]

    @property
    def panels(self) -> list[Panel]:
        """All of them, in order."""
        return [panel for _, panels in self.sections for panel in panels]


def of(series: Series | str, *matchers: str) -> str:
    """A series of the chosen cluster, as a selector; a text names one of Ray's own."""
    return f"{series}{{{', '.join((CLUSTER, *matchers))}}}"


def per_second(series: Series | str, by: str, *matchers: str) -> str:
    """How fast a counter rises, by labels."""
    return f"sum by ({by}) (rate({of(series, *matchers)}[{WINDOW}]))"


def quantile(q: float, series: Series, by: str, *matchers: str) -> str:
    """Of a histogram, by labels."""
    rate = f"rate({of(f'{series}_bucket', *matchers)}[{WINDOW}])"
    return f"histogram_quantile({q}, sum by (le, {by}) ({rate}))"


def last(series: Series, by: str, within: str, *matchers: str) -> str:
    """The last value of what is set now and then, by labels."""
    return f"max by ({by}) (last_over_time({of(series, *matchers)}[{within}]))"


NODES = Variable("Cluster", "ray_io_cluster", "ray_node_cpu_count")

MACHINES = (
    Panel(
        "CPU",
        "Of each node, share of its cores that work.",
        "percent",
        (Query(f"avg by (instance) ({of('ray_node_cpu_utilization')})", "{{instance}}"),),
    ),
    Panel(
        "Memory",
        "Of each node; near 1 Ray kills workers.",
        "percentunit",
        (
            Query(
                f"max by (instance) ({of('ray_node_mem_used')})"
                f" / max by (instance) ({of('ray_node_mem_total')})",
                "{{instance}}",
            ),
        ),
    ),
    Panel(
        "GPU",
        "Of each GPU, how much it works.",
        "percent",
        (
            Query(
                f"max by (instance, GpuIndex) ({of('ray_node_gpus_utilization')})",
                "{{instance}} GPU {{GpuIndex}}",
            ),
        ),
        needs="a GPU",
    ),
    Panel(
        "GPU memory",
        "Of each GPU, MB in use.",
        "decmbytes",
        (
            Query(
                f"max by (instance, GpuIndex) ({of('ray_node_gram_used')})",
                "{{instance}} GPU {{GpuIndex}}",
            ),
        ),
        needs="a GPU",
    ),
)
"""Ray's own, of the nodes."""
