"""SQLAlchemy engines for SQLite and PostgreSQL, set up so that both keep the same promises.

Write transactions carry the execution option `seawall_write`. On SQLite they begin with
BEGIN IMMEDIATE, so they wait for each other at their start instead of failing in their middle.
Read transactions see one snapshot of the database from their first query to their end, and
cannot write.
"""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError

from hashdb.errors import BadArgument, BadSetting, DatabaseUnavailable

BUSY_TIMEOUT_S = 10.0
READY = 4
"""Connections to SQLite that stand ready for single queries; one more does for writing."""
ASKED_AGAIN_S = (0.00025, 0.002)
"""How soon, at first and at most, a transaction asks again whether it may write to SQLite. A write
takes a millisecond or two; SQLite itself asks again after 1, 2, 5, 10, 15, 20 and 25 ms
(`sqliteDefaultBusyCallback`), so that of two processes one waited for fifty."""
GIVES_UP = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
"""libpq's own words, in seconds, the last in milliseconds: a PostgreSQL whose machine or network is
gone without a word is found dead in a quarter of a minute, whether it owes us an answer or the
receipt of what we sent. Not one whose process alone stands still: its kernel answers for it."""
_POSTGRES_NAMES = ("postgres", "postgresql", "postgresql+psycopg")
_SQLITE_NAMES = ("sqlite", "sqlite+pysqlite")


def parse_url(url: str) -> URL:
    """`sqlite:///FILE`, or PostgreSQL (`postgres://`, `postgresql://`, `postgresql+psycopg://`),
    which always goes through psycopg 3. FILE is taken as it is written: "%20" is no space.
    Raises `BadSetting` for anything else."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise BadSetting("the database URL cannot be read") from None
    if parsed.drivername in _SQLITE_NAMES:
        name = url.partition(":///")[2].partition("?")[0]
        if not name or name == ":memory:" or name.startswith("file:"):
            raise BadSetting("SQLite needs a file: sqlite:///PATH")
        return parsed.set(database=name)
    if parsed.drivername in _POSTGRES_NAMES:
        return parsed.set(drivername="postgresql+psycopg")
    raise BadSetting(f"{parsed.drivername}: the database is sqlite:///FILE or postgresql://...")


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def to_json(value: object) -> str:
    """Not ASCII-escaped, so that a search in the JSON text finds what people typed."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadArgument(f"a value cannot be stored: {error}") from None


def make_engine(url: URL) -> Engine:
    """An engine; connects only when it is first used."""
    if is_sqlite(url):
        return _sqlite_engine(url)
    return create_engine(
        url,
        connect_args=_unless_in(url, **GIVES_UP),
        pool_size=5,
        max_overflow=15,
        pool_timeout=BUSY_TIMEOUT_S,
        pool_pre_ping=True,
        json_serializer=to_json,
    )


def _unless_in(url: URL, **defaults: object) -> dict[str, object]:
    """The arguments that the URL's query does not set itself."""
    return {name: value for name, value in defaults.items() if name not in url.query}


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        # sqlite3's timeout is SQLite's busy timeout.
        connect_args={"check_same_thread": False} | _unless_in(url, timeout=BUSY_TIMEOUT_S),
        pool_size=5,
        max_overflow=15 + READY + 1,
        pool_timeout=BUSY_TIMEOUT_S,
        json_serializer=to_json,
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: SqliteConnection, record: Any) -> None:
        # sqlite3's own transaction handling begins late and leaves DDL outside: switched off.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        record.info["seawall_waits_ms"] = connection.execute("PRAGMA busy_timeout").fetchone()[0]

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        # Past SQLAlchemy: there are several transactions a request.
        options = connection.get_execution_options()
        write = options.get("seawall_write", False)
        _may_write(connection, write)
        if write:
            _begin_to_write(connection)
        elif not options.get("seawall_single", False):
            _say(connection, "BEGIN")

    return engine


def _may_write(connection: Connection, write: bool) -> None:
    info = connection.info
    if info.get("seawall_write") != write:
        _say(connection, f"PRAGMA query_only = {'OFF' if write else 'ON'}")
        # Who is to write waits in `_begin_to_write`, and then nothing is in his way.
        _say(connection, f"PRAGMA busy_timeout = {0 if write else info['seawall_waits_ms']}")
        info["seawall_write"] = write


def _begin_to_write(connection: Connection) -> None:
    """BEGIN IMMEDIATE, as soon as no other process writes."""
    began = time.monotonic()
    most = connection.info["seawall_waits_ms"] / 1000
    least_pause, most_pause = ASKED_AGAIN_S
    while True:
        try:
            _say(connection, "BEGIN IMMEDIATE")
            return
        except DBAPIError as error:
            waited = time.monotonic() - began
            code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
            if code != sqlite3.SQLITE_BUSY or waited >= most:
                raise
            time.sleep(min(most_pause, max(least_pause, waited / 16)))


def _say(connection: Connection, text: str) -> None:
    """To SQLite's driver itself; errors are SQLAlchemy's."""
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(text)
    except sqlite3.Error as error:
        raise DBAPIError.instance(text, None, error, sqlite3.Error) from error


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


def single_connection(engine: Engine) -> Connection:
    """A connection for one query, which is its own transaction and does not write."""
    if engine.dialect.name == "sqlite":
        connection = engine.connect().execution_options(seawall_single=True)
        try:
            _may_write(connection, False)
        except BaseException:
            connection.close()
            raise
        return connection
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def make_sqlite_file(engine: Engine) -> None:
    """The folder and the file, in WAL mode (which the file remembers).

    SQLite answers "locked" at once, without its busy timeout, where two processes turn WAL on
    at the same moment: so this asks again until the timeout is over.
    """
    assert engine.url.database is not None
    folder = Path(engine.url.database).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(f"database: {error}") from error
    until = time.monotonic() + BUSY_TIMEOUT_S
    while not _turn_wal_on(engine, last_try=time.monotonic() > until):
        time.sleep(0.02)


def _turn_wal_on(engine: Engine, *, last_try: bool) -> bool:
    driver = engine.dialect.loaded_dbapi
    try:
        raw = engine.raw_connection()
        try:
            raw.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            raw.close()
    except driver.Error as error:
        if "locked" in str(error) and not last_try:
            return False
        raise DBAPIError.instance("PRAGMA journal_mode", None, error, driver.Error) from error
    return True
