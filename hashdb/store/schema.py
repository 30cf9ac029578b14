"""The schema's version: Alembic's migrations, run from within the program.

The scripts are found as the installed package `migrations`, not as a folder beside the program.
A migration runs in one transaction, so it is there wholly or not at all, and under a lock, so
that of two processes that start at once one migrates and the other finds it done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text

from hashdb.errors import NotUpgraded
from hashdb.store import engine as engines
from hashdb.store.failures import translated

# An arbitrary constant: the key of PostgreSQL's advisory lock around migrations.
MIGRATION_LOCK = 0x5EA_0A11_0001


def upgrade(url: str, revision: str = "head") -> None:
    """Brings the database to `revision`. SQLite's folder and file are made where missing.

    Raises `DatabaseUnavailable`, and `NotUpgraded` where the database is of a newer version.
    """
    engine = engines.make_engine(engines.parse_url(url))
    try:
        upgrade_engine(engine, revision)
    finally:
        engine.dispose()


def downgrade(url: str, revision: str) -> None:
    """Takes the database back to `revision` ("base": to nothing), its data included."""
    engine = engines.make_engine(engines.parse_url(url))
    try:
        with translated(), engines.write_connection(engine) as connection:
            _run(connection, command.downgrade, revision, config())
    finally:
        engine.dispose()


def schema_is_current(url: str) -> bool:
    """Whether the database's schema is this version's."""
    engine = engines.make_engine(engines.parse_url(url))
    try:
        with translated(), engines.read_connection(engine) as connection, connection.begin():
            return current(connection) == newest()
    finally:
        engine.dispose()


def upgrade_engine(engine: Engine, revision: str = "head", settings: Config | None = None) -> None:
    """`upgrade`, with an engine at hand, and with other scripts where `settings` names them."""
    with translated():
        if engine.dialect.name == "sqlite":
            engines.make_sqlite_file(engine)
        with engines.write_connection(engine) as connection:
            _run(connection, command.upgrade, revision, settings or config())


def check(connection: Connection) -> None:
    """Raises `NotUpgraded` unless the schema is this version's."""
    found = current(connection)
    if found != newest():
        state = "has no schema" if found is None else f"has schema {found}"
        raise NotUpgraded(
            f"the database {state}, this version needs {newest()}: run `seawall db upgrade`"
        )


def current(connection: Connection) -> str | None:
    """The database's revision; None where there is no schema."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    """The newest revision that this version brings."""
    return ScriptDirectory.from_config(config()).get_current_head()


def config() -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def _run(
    connection: Connection,
    what: Callable[[Config, str], None],
    revision: str,
    settings: Config,
) -> None:
    settings.attributes["connection"] = connection
    with _unchecked_foreign_keys(connection), connection.begin():
        if connection.dialect.name == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:key)")
            connection.execute(lock, {"key": MIGRATION_LOCK})
        try:
            what(settings, revision)
        except CommandError as error:
            raise NotUpgraded(f"the database's schema is of another version: {error}") from error
        if connection.dialect.name == "sqlite":
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if broken is not None:
                raise RuntimeError(f"the migration has left a row without its parent: {broken}")


@contextmanager
def _unchecked_foreign_keys(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by building it anew, and dropping the old one must not take its
    children along. The switch works only outside of a transaction."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver = connection.connection.driver_connection
    assert driver is not None
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")
