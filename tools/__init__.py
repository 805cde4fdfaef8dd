"""Generators of the files that are checked in: rules, dashboards, documentation."""
