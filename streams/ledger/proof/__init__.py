"""The Merkle log, its signed heads, and the checks an auditor runs."""
