"""Benchmarks: commands, not timed tests. Each subject in its own process, on one workload, in one run."""
