"""One process at a time, of all that share a database."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, text

from hashdb.errors import DatabaseUnavailable

# An arbitrary constant: the key of PostgreSQL's advisory lock around what is done alone.
ALONE_LOCK = 0x5EA_0A11_0025
_ASKED_EVERY_S = 0.05


@contextmanager
def alone(engine: Engine, seconds: float) -> Iterator[bool]:
    """Whether the lock was got within so long; it is held for the block, and given back by a
    process that dies. On PostgreSQL an advisory lock of a transaction, on SQLite one on a file
    beside the database."""
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection, connection.begin():
            query = text("SELECT pg_try_advisory_xact_lock(:key)")
            yield _until(lambda: bool(connection.scalar(query, {"key": ALONE_LOCK})), seconds)
        return
    try:
        handle = os.open(f"{engine.url.database}-alone", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DatabaseUnavailable(f"database: {error}") from error
    try:
        yield _until(lambda: _locked(handle), seconds)
    finally:
        os.close(handle)


def _until(got: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not got():
        if time.monotonic() >= end:
            return False
        time.sleep(_ASKED_EVERY_S)
    return True


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
