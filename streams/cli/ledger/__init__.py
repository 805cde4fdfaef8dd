"""Commands that ask the ledger, and that record judgements in it."""
