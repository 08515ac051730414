"""What a column is: feature, token group, table, task."""

from rayrank.schema.groups import CANDIDATES, PROFILE, Group, realtime_of, static_of
from rayrank.schema.parts import EXPOSURES, Feature, Kind, Sequence, Table, Task
from rayrank.schema.schema import Schema, load_schema

__all__ = [
    "CANDIDATES",
    "EXPOSURES",
    "PROFILE",
    "Feature",
    "Group",
    "Kind",
    "Schema",
    "Sequence",
    "Table",
    "Task",
    "load_schema",
    "realtime_of",
    "static_of",
]
