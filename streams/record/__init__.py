"""`record`: outages, windows and exclusions from their topics into the ledger."""
