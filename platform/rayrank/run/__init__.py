"""A run: its folder, config, stages, summary and report."""
