"""How well the outages found agree with the truth of a simulated log."""
