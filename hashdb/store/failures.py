"""The database's errors, translated once into Seawall's.

`TRANSLATIONS` lists every DBAPI error class of SQLAlchemy. None means: a defect in Seawall's own
statements, which is not hidden behind an answer that says "try again".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import exc

from hashdb.errors import BadArgument, DatabaseUnavailable, SeawallError

TRANSLATIONS: dict[type[exc.SQLAlchemyError], type[SeawallError] | None] = {
    exc.OperationalError: DatabaseUnavailable,  # gone, locked, full, deadlocked, shut down
    exc.InterfaceError: DatabaseUnavailable,  # the connection broke
    exc.InternalError: DatabaseUnavailable,  # the server's own trouble
    exc.DatabaseError: DatabaseUnavailable,  # SQLite: the file is damaged or is no database
    exc.TimeoutError: DatabaseUnavailable,  # no connection of the pool became free in time
    exc.DisconnectionError: DatabaseUnavailable,
    exc.DataError: BadArgument,  # a value that the database cannot keep, such as text with NUL
    exc.IntegrityError: None,
    exc.ProgrammingError: None,
    exc.NotSupportedError: None,
    exc.DBAPIError: None,  # abstract: always one of those above
}


def translate(error: Exception) -> SeawallError | None:
    """Seawall's error for one of SQLAlchemy's or the driver's; None where it is to pass as is."""
    for kind in type(error).__mro__:
        if kind in TRANSLATIONS:
            wanted = TRANSLATIONS[kind]
            return wanted(_text(error)) if wanted else None
    cause = error.orig if isinstance(error, exc.StatementError) else error
    if isinstance(cause, SeawallError):
        return cause  # raised while a value was made ready for the statement
    if isinstance(cause, UnicodeEncodeError):
        return BadArgument(f"a value cannot be stored: {cause}")
    return None


def _text(error: Exception) -> str:
    """The driver's own first line: SQLAlchemy's text would carry the statement and its values."""
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines()
    return f"database: {lines[0] if lines else type(cause).__name__}"


@contextmanager
def translated() -> Iterator[None]:
    """Translates what leaves the block; everything else passes as it is."""
    try:
        yield
    except (exc.SQLAlchemyError, UnicodeEncodeError) as error:
        ours = translate(error)
        if ours is None:
            raise
        raise ours from error


@contextmanager
def translated_driver() -> Iterator[None]:
    """The same for a bare connection of psycopg's: whatever it minds, the database is away."""
    try:
        yield
    except psycopg.Error as error:
        raise DatabaseUnavailable(_text(error)) from error
