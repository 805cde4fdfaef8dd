"""`serve`: the auditors' interface, page and reports over the ledger, all from the same answers."""
