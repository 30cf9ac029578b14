"""Connections that stand ready for what each request says to SQLite.

To take one out of SQLAlchemy's pool, to begin with it and to give it back takes longer than SQLite
takes for the answer, and a request does so four times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection


class Ready:
    """At most `most` connections, which are made when they are wanted first. Any number of threads
    may use one; a connection belongs to one of them at a time. Where more are wanted, each of the
    others is closed after its use, and so is one whose use failed."""

    def __init__(self, make: Callable[[], Connection], most: int) -> None:
        self._make = make
        self._most = most
        self._idle: deque[Connection] = deque()

    @contextmanager
    def taken(self) -> Iterator[Connection]:
        """A connection, outside of any transaction; what it has begun at the end is undone."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._make()
        try:
            yield connection
            if connection.in_transaction():
                connection.rollback()
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < self._most:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Give those that nobody uses back to the pool."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took it
                return
            connection.close()

    def forget(self) -> None:
        """After a fork: they are the parent's."""
        self._idle = deque()
