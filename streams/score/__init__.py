"""Scores the outages found against the ground truth of a simulated log."""
