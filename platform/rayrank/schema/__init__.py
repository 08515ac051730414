"""What a column is: feature, token, table, task."""

from rayrank.schema.schema import Feature, Kind, Schema, Table, Task, Token, load_schema

__all__ = ["Feature", "Kind", "Schema", "Table", "Task", "Token", "load_schema"]
