"""A connection that PostgreSQL tells of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine

from hashdb.store.changes import CHANNEL
from hashdb.store.engine import GIVES_UP
from hashdb.store.failures import translated_driver

_NAME = "seawall-feed"

Heard = Callable[[float], bool]


@contextmanager
def listening(engine: Engine) -> Iterator[Heard]:
    """A connection of its own that listens; `heard(seconds)` waits so long for a notification and
    says whether one came. Raises `DatabaseUnavailable`, also from `heard`."""
    _, arguments = engine.dialect.create_connect_args(engine.url)
    with translated_driver():
        connection = psycopg.connect(
            **{"application_name": _NAME, **GIVES_UP, **arguments}, autocommit=True
        )
    with connection, translated_driver():
        connection.execute(f"LISTEN {CHANNEL}")

        def heard(seconds: float) -> bool:
            return any(True for _ in connection.notifies(timeout=seconds, stop_after=1))

        yield heard
