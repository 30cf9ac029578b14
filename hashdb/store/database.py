"""Opens the hash database and gives transactions."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, select, text

from hashdb.errors import DatabaseUnavailable
from hashdb.store import engine as engines
from hashdb.store import schema
from hashdb.store.access import Access
from hashdb.store.alone import alone
from hashdb.store.audit import Audit
from hashdb.store.banks import Banks
from hashdb.store.casework import Casework
from hashdb.store.changes import Changes
from hashdb.store.exchanges import Exchanges
from hashdb.store.failures import translated
from hashdb.store.found import Found
from hashdb.store.grouping import Group
from hashdb.store.hidden import Hidden
from hashdb.store.jobs import Jobs
from hashdb.store.leases import Leases
from hashdb.store.listening import Heard, listening
from hashdb.store.ready import Ready
from hashdb.store.retention import Retention
from hashdb.store.runs import Runs
from hashdb.store.uploads import Uploads
from hashdb.tables import meta

Answer = TypeVar("Answer")


class Transaction:
    """All queries, over one connection: see each attribute's class, made when it is asked for."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def changes(self) -> Changes:
        return Changes(self._connection)

    @cached_property
    def banks(self) -> Banks:
        return Banks(self._connection, self.changes)

    @cached_property
    def hidden(self) -> Hidden:
        return Hidden(self._connection)

    @cached_property
    def casework(self) -> Casework:
        return Casework(self._connection)

    @cached_property
    def uploads(self) -> Uploads:
        return Uploads(self._connection, self.casework)

    @cached_property
    def found(self) -> Found:
        return Found(self._connection, self.casework)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self._connection)

    @cached_property
    def runs(self) -> Runs:
        return Runs(self._connection)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self._connection, self.runs)

    @cached_property
    def exchanges(self) -> Exchanges:
        return Exchanges(self._connection)

    @cached_property
    def access(self) -> Access:
        return Access(self._connection)

    @cached_property
    def leases(self) -> Leases:
        return Leases(self._connection)

    @cached_property
    def retention(self) -> Retention:
        return Retention(self._connection)


class Store:
    """One database. May be used by many threads at once; each transaction belongs to one.

    Every method, and every query within a transaction, raises `DatabaseUnavailable` where the
    database does not answer, and `BadArgument` for a value that it cannot keep.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._alone = engines.is_sqlite(engine.url)
        self._asking = Ready(lambda: engines.single_connection(engine), engines.READY)
        self._writing = Ready(lambda: engines.write_connection(engine), 1)
        self._make_turns()
        _open_stores.add(self)

    def _make_turns(self) -> None:
        # SQLite's own lock is asked for again and again, by whoever happens to be awake: threads
        # that wait for it for seconds, while others come and go, are told "database is locked".
        self._turn = threading.Lock()
        self._group: Group[Callable[[Transaction], Any]] = Group(self._commit)

    @classmethod
    def open(cls, url: str, *, upgrade: bool | None = None) -> Store:
        """Opens `sqlite:///FILE` (made and upgraded by itself, unless `upgrade` is False) or a
        PostgreSQL database (upgraded only where `upgrade` is True).

        Raises `BadSetting` for another URL, `NotUpgraded` where the schema is another version's,
        `DatabaseUnavailable`.
        """
        parsed = engines.parse_url(url)
        engine = engines.make_engine(parsed)
        try:
            if engines.is_sqlite(parsed) if upgrade is None else upgrade:
                schema.upgrade_engine(engine)
            else:
                with translated(), engines.read_connection(engine) as c, c.begin():
                    schema.check(c)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @property
    def notifies(self) -> bool:
        """Whether the database tells of changes (PostgreSQL), or must be asked (SQLite)."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A transaction that may write: committed at the end of the block, undone on an error.

        Keep it short, and take nothing slow inside: SQLite lets one writer work at a time.
        """
        with self._my_turn(), translated(), self._to_write() as c, c.begin():
            transaction = Transaction(c)
            yield transaction
            transaction.changes.flush()

    def together(self, work: Callable[[Transaction], Answer]) -> Answer:
        """What the work gives, done in a transaction and committed. Pieces of work of several
        threads may share one transaction and its flush to the disk; one that raises is undone
        alone. For short work that is done often."""
        if not self._alone:
            with self.begin() as tx:
                return work(tx)
        answer: Answer = self._group.run(work)
        return answer

    def _commit(self, works: Sequence[Callable[[Transaction], Any]]) -> list[Any]:
        if len(works) == 1:
            with self.begin() as tx:
                return [works[0](tx)]
        with self._my_turn(), translated(), self._to_write() as c, c.begin():
            return [self._attempt(c, work) for work in works]

    def _attempt(self, c: Connection, work: Callable[[Transaction], Any]) -> Any:
        """What the work gives, or the exception that undid it; raises where all is undone."""
        savepoint = c.begin_nested()
        try:
            with translated():
                transaction = Transaction(c)
                answer = work(transaction)
                transaction.changes.flush()
        except Exception as error:
            savepoint.rollback()
            return error
        savepoint.commit()
        return answer

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        """In this process one thread at a time writes to SQLite. `DatabaseUnavailable` where it
        does not become this one's turn."""
        if not self._alone:
            yield
            return
        if not self._turn.acquire(timeout=engines.BUSY_TIMEOUT_S):
            raise DatabaseUnavailable("database: other transactions do not end")
        try:
            yield
        finally:
            self._turn.release()

    def _to_ask(self) -> AbstractContextManager[Connection]:
        return self._asking.taken() if self._alone else engines.single_connection(self._engine)

    def _to_write(self) -> AbstractContextManager[Connection]:
        return self._writing.taken() if self._alone else engines.write_connection(self._engine)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that cannot write, and sees the database as it is at its first query."""
        with translated(), engines.read_connection(self._engine) as c, c.begin():
            yield Transaction(c)

    @contextmanager
    def ask(self) -> Iterator[Transaction]:
        """For a single query, which does not write (SQLite would refuse it): nothing is said to the
        database before it and after it. Each request asks some, and each word lets other threads
        in between."""
        with translated(), self._to_ask() as c:
            yield Transaction(c)

    @contextmanager
    def listening(self) -> Iterator[Heard]:
        """A connection of its own, on a database that `notifies`: `heard(seconds)` waits so long
        for word of changes and says whether it came. Raises `DatabaseUnavailable`, `heard` too."""
        with listening(self._engine) as heard:
            yield heard

    @contextmanager
    def alone(self, seconds: float) -> Iterator[bool]:
        """Holds a lock of which there is one for the database, if it can be had within so long;
        says whether. For what is written elsewhere: transactions go on beside it."""
        with translated(), alone(self._engine, seconds) as got:
            yield got

    @property
    def folder(self) -> Path | None:
        """Where SQLite's file lies; None where a server has the database."""
        return Path(str(self._engine.url.database)).parent if self._alone else None

    def ping(self) -> None:
        """Raises `DatabaseUnavailable` where the database does not answer."""
        with translated(), engines.read_connection(self._engine) as connection:
            connection.execute(text("SELECT 1"))

    def identity(self) -> str:
        """A random id that the database was given when it was made; it outlives upgrades."""
        return self._meta("identity")

    def sampling_key(self) -> str:
        """A random secret that the database was given, by which pictures of uploads are drawn."""
        return self._meta("sampling_key")

    def _meta(self, key: str) -> str:
        query = select(meta.c.value).where(meta.c.key == key)
        with translated(), engines.read_connection(self._engine) as connection:
            return str(connection.execute(query).scalar_one())

    def close(self) -> None:
        """Closes all connections that are not in use."""
        for ready in (self._asking, self._writing):
            ready.close()
        self._engine.dispose()

    def forked(self) -> None:
        """In a child process: the parent's connections are not ours to use or to close."""
        for ready in (self._asking, self._writing):
            ready.forget()
        self._engine.dispose(close=False)
        self._make_turns()  # a thread that is not here may have held the old ones


_open_stores: weakref.WeakSet[Store] = weakref.WeakSet()


def _before_fork() -> None:
    for store in list(_open_stores):
        store.close()


def _after_fork() -> None:
    for store in list(_open_stores):
        store.forked()


# A connection that two processes use is corrupted. So a fork finds the pools empty.
os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
