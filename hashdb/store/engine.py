"""SQLAlchemy engines for SQLite and PostgreSQL, set up so that both keep the same promises.

Write transactions carry the execution option `seawall_write`. On SQLite they begin with
BEGIN IMMEDIATE, so they wait for each other at their start instead of failing in their middle.
Read transactions see one snapshot of the database from their first query to their end, and
cannot write.
"""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, OperationalError

from hashdb.errors import BadSetting

BUSY_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5
_POSTGRES_NAMES = ("postgres", "postgresql", "postgresql+psycopg")
_SQLITE_NAMES = ("sqlite", "sqlite+pysqlite")


def parse_url(url: str) -> URL:
    """`sqlite:///FILE`, or PostgreSQL (`postgres://`, `postgresql://`, `postgresql+psycopg://`),
    which always goes through psycopg 3. Raises `BadSetting` for anything else."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadSetting("the database URL cannot be read") from None
    if parsed.drivername in _SQLITE_NAMES:
        if not parsed.database or parsed.database == ":memory:":
            raise BadSetting("SQLite needs a file: sqlite:///PATH")
        return parsed
    if parsed.drivername in _POSTGRES_NAMES:
        return parsed.set(drivername="postgresql+psycopg")
    raise BadSetting(f"{parsed.drivername}: the database is sqlite:///FILE or postgresql://...")


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


# Not ASCII-escaped, so that a search in the JSON text finds what people typed.
_to_json = partial(json.dumps, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def make_engine(url: URL) -> Engine:
    """An engine; connects only when it is first used."""
    if is_sqlite(url):
        return _sqlite_engine(url)
    query = {k.lower() for k in url.query}
    arguments = {} if "connect_timeout" in query else {"connect_timeout": CONNECT_TIMEOUT_S}
    return create_engine(
        url,
        connect_args=arguments,
        pool_size=5,
        max_overflow=15,
        pool_timeout=BUSY_TIMEOUT_S,
        pool_pre_ping=True,
        json_serializer=_to_json,
    )


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        pool_size=5,
        max_overflow=15,
        pool_timeout=BUSY_TIMEOUT_S,
        json_serializer=_to_json,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: SqliteConnection, _record: Any) -> None:
        # sqlite3's own transaction handling begins late and leaves DDL outside: switched off.
        connection.isolation_level = None
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("seawall_write", False)
        connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if write else 'ON'}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def write_connection(engine: Engine) -> Connection:
    """A connection whose transactions may write."""
    return engine.connect().execution_options(seawall_write=True)


def read_connection(engine: Engine) -> Connection:
    """A connection whose transactions see one snapshot and cannot write."""
    if engine.dialect.name == "sqlite":
        return engine.connect()
    return engine.connect().execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )


def make_sqlite_file(engine: Engine) -> None:
    """The folder and the file, in WAL mode (which the file remembers).

    SQLite answers "locked" at once, without its busy timeout, where two processes turn WAL on
    at the same moment: so this asks again until the timeout is over.
    """
    assert engine.url.database is not None
    Path(engine.url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
            return
        except engine.dialect.loaded_dbapi.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise OperationalError("PRAGMA journal_mode", None, error) from error
            time.sleep(0.02)
        finally:
            raw.close()
