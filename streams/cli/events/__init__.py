"""Commands that bring events in: simulate, import, emit, check."""
