"""Logs -> user rows -> packed batches. Only `build`, `pack_epoch` and `ray_*` touch Ray."""
