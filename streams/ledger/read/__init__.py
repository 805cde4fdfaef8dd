"""All queries of the ledger."""
