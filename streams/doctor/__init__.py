"""Finds faults in a portal's events before they go live: `examine` is pure, the command reads input."""
