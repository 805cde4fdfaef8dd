"""Watching the pipeline: Prometheus rules, Alertmanager routing, dashboards and history, all generated.

What an SRE may choose stands in ``deploy/slo.yaml`` (`settings.py`); the files under ``deploy/`` and
``grafana/`` are generated from it and checked in, and tests refuse drift between the two.
"""
