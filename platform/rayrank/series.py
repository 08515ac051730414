"""What Prometheus sees of rayrank: each room lists its own, in a `series.py`."""

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class Series:
    """A metric: what makes it and what shows it name it by this."""

    kind: Kind
    name: str
    says: str
    """For people; the unit, unless the name has it."""
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    """Of a histogram's buckets."""

    def __str__(self) -> str:
        """As Prometheus has it: Ray's exporter puts `ray_` before every name."""
        return f"ray_{self.name}"

    @property
    def told(self) -> tuple[Any, ...]:
        """What Ray's class of this kind takes."""
        bounds = (list(self.bounds),) if self.kind == "histogram" else ()
        return (self.name, self.says, *bounds, self.labels)

    @property
    def exported(self) -> tuple[str, ...]:
        """The names of its samples."""
        if self.kind != "histogram":
            return (str(self),)
        return tuple(f"{self}_{part}" for part in ("bucket", "sum", "count"))
