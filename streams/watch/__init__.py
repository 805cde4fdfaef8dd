"""Monitoring of the pipeline: Prometheus rules, Alertmanager routing, dashboards and history.

An SRE's choices are in ``deploy/slo.yaml`` (`settings.py`). The files under ``deploy/`` and ``grafana/`` are
generated from it and checked in, and tests fail if the two drift apart.
"""
