"""The ledger's migrations, run by Alembic on both databases."""
