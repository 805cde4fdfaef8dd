"""One link in `detect`: history, windows, spells, outages."""
