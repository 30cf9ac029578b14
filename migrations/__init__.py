"""Alembic's migrations of the hash database: run by `hashdb.store.schema`."""
