"""The ledger's tables, and what is written into them."""
