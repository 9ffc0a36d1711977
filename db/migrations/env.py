"""Alembic's entry: runs on the connection that `db.schema.migrate` hands over."""

from __future__ import annotations

from alembic import context

VERSION_TABLE = "rankwise_version"

# Transactional: the store begins its SQLite transactions itself, so a failed migration is
# rolled back as a whole.
context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
