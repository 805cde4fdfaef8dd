"""The Grafana dashboards, written in Python; their JSON under ``grafana/dashboards`` is generated."""
