"""Logs -> user rows -> batches. Only `build`, `shuffle`, `survey` and `tasks` need Ray."""
