"""What a column is: feature, token group, table, task."""

from rayrank.schema.groups import CANDIDATES, PROFILE, Group, realtime_of, static_of
from rayrank.schema.parts import EXPOSURES, Feature, Kind, LossConfig, Sequence, Table, Task
from rayrank.schema.schema import Schema, load_schema
from rayrank.schema.view import RankerSchema, ViewConfig

__all__ = [
    "CANDIDATES",
    "EXPOSURES",
    "PROFILE",
    "Feature",
    "Group",
    "Kind",
    "LossConfig",
    "RankerSchema",
    "Schema",
    "Sequence",
    "Table",
    "Task",
    "ViewConfig",
    "load_schema",
    "realtime_of",
    "static_of",
]
