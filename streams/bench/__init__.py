"""Benchmarks, run as commands: each subject in its own process, with the same workload, in one run."""
