"""Watching a cluster: dashboards, alerts and a Prometheus that looks at them here."""
