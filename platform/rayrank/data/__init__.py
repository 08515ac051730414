"""Logs -> user rows -> batches. Only `build`, `survey` and `tasks` touch Ray."""
