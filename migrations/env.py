"""What Alembic runs for every command. The connection, its transaction and its lock are the
caller's: see `hashdb.store.schema`."""

from alembic import context

from hashdb.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations run through `seawall db upgrade`, not through alembic itself")

context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
