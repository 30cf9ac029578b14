"""Statements that each request asks, said to SQLite's driver directly.

SQLAlchemy makes the statement, once; what it does around each execution takes ten times as long as
SQLite takes for the answer. PostgreSQL, where the way there and back takes longer than both, is
asked as ever. docs/decisions/0020-service-speed.md has the figures.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Select
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.dml import Insert
from sqlalchemy.types import TypeEngine

from hashdb.store.engine import to_json
from hashdb.store.rows import Row

_Convert = Callable[[Any], Any] | None


class Prepared:
    """A statement with its parameters' names; may be used by any number of threads.

    Of an insert all columns of its table are parameters. Errors are SQLAlchemy's, as those of
    `Connection.execute` are.
    """

    def __init__(self, statement: Select[Any] | Insert) -> None:
        self._statement = statement

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Row]:
        """The rows that it gives, by the columns' names."""
        if connection.dialect.name != "sqlite":
            found = connection.execute(self._statement, values)
            return found.mappings().all() if found.returns_rows else []
        return self._direct.rows(connection, values)

    def first(self, connection: Connection, values: Mapping[str, Any]) -> Row | None:
        """The first row; None where there is none."""
        found = self.rows(connection, values)
        return found[0] if found else None

    @cached_property
    def _direct(self) -> _Direct:
        return _Direct(self._statement)


class _Direct:
    """The same for SQLite: its text, and how values become the driver's and the driver's ours."""

    def __init__(self, statement: Select[Any] | Insert) -> None:
        dialect = sqlite.dialect(paramstyle="named", json_serializer=to_json)

        def way_in(kind: TypeEngine[Any]) -> _Convert:
            return kind.dialect_impl(dialect).bind_processor(dialect)

        def way_out(kind: TypeEngine[Any]) -> _Convert:
            return kind.dialect_impl(dialect).result_processor(dialect, None)

        self._writes = isinstance(statement, Insert)
        compiled = statement.compile(dialect=dialect)
        self._text = str(compiled)
        self._in = [(name, way_in(bind.type)) for bind, name in compiled.bind_names.items()]
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        columns = statement.exported_columns
        self._out = [(str(c.key), way_out(c.type)) for c in columns]

    def rows(self, connection: Connection, values: Mapping[str, Any]) -> Sequence[Row]:
        given = self._fixed | dict(values)
        said = {
            name: given[name] if way_in is None else way_in(given[name])
            for name, way_in in self._in
        }
        if self._writes:
            assert connection.in_transaction()  # or it would be a transaction of its own
        driver: Any = connection.connection.driver_connection
        try:
            found = driver.execute(self._text, said).fetchall()
        except sqlite3.Error as error:
            # The text alone: the values are nobody's to log.
            raise DBAPIError.instance(self._text, None, error, sqlite3.Error) from error
        return [
            {
                name: value if way_out is None else way_out(value)
                for (name, way_out), value in zip(self._out, row, strict=True)
            }
            for row in found
        ]
