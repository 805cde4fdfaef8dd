"""Every question asked of the ledger."""
