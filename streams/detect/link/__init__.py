"""One link as `detect` follows it: history, windows, spells, outages."""
