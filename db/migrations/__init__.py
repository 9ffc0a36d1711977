"""Alembic's scripts; `db.schema.migrate` runs them on an open connection."""
