"""How Alembic runs the migrations: on the connection it is given, inside its transaction."""

from alembic import context

from streams.ledger.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
context.run_migrations()
