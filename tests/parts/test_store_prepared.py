"""Statements said to the driver directly, beside the same ones by SQLAlchemy."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError, StatementError

from hashdb.errors import DatabaseUnavailable
from hashdb.store import Store
from hashdb.store.engine import read_connection, single_connection, write_connection
from hashdb.store.failures import translated
from hashdb.store.prepared import Prepared
from hashdb.tables import audit, banks

AT = datetime(2026, 3, 4, 5, 6, 7, 891011, UTC)
BANK = {
    "id": "bank_1",
    "name": "gef\u00e4hrlich \U0001f4a5",
    "action": "block",
    "label": None,
    "enabled": True,
    "created_at": AT,
}
BY_NAME = Prepared(select(banks).where(banks.c.name == bindparam("name")))
INSERT_BANK = Prepared(insert(banks))


def test_values_go_in_and_come_out_as_by_sqlalchemy(store: Store) -> None:
    with write_connection(store._engine) as c, c.begin():
        assert INSERT_BANK.rows(c, BANK) == []
        c.execute(insert(banks), BANK | {"id": "bank_2", "name": "other", "enabled": False})
    with read_connection(store._engine) as c, c.begin():
        for name in (BANK["name"], "other"):
            found = BY_NAME.first(c, {"name": name})
            same = c.execute(select(banks).where(banks.c.name == name)).mappings().one()
            assert found is not None
            assert dict(found) == dict(same)
            assert [type(v) for v in dict(found).values()] == [type(v) for v in same.values()]
        assert BY_NAME.first(c, {"name": "nobody"}) is None
        assert BY_NAME.rows(c, {"name": "' OR 1=1 --"}) == []


def test_json_goes_in_as_by_sqlalchemy(store: Store) -> None:
    detail = {"p": [1, "\u00e4", None]}
    values = {"number": 7, "at": AT, "actor": "a", "act": "b", "subject": "c", "detail": detail}
    with write_connection(store._engine) as c, c.begin():
        Prepared(insert(audit)).rows(c, values)
        assert dict(c.execute(select(audit)).mappings().one()) == values
        assert dict(Prepared(select(audit)).rows(c, {})[0]) == values


def test_errors_are_sqlalchemys(store: Store) -> None:
    with write_connection(store._engine) as c, c.begin():
        INSERT_BANK.rows(c, BANK)
        savepoint = c.begin_nested()
        with pytest.raises(IntegrityError) as raised:
            INSERT_BANK.rows(c, BANK | {"id": "bank_3"})
        savepoint.rollback()
        assert raised.value.__cause__ is not None
    with write_connection(store._engine) as c, c.begin() as transaction:
        with pytest.raises((ValueError, StatementError), match="time zone"):
            INSERT_BANK.rows(c, BANK | {"id": "bank_4", "created_at": datetime(2026, 1, 1)})
        transaction.rollback()


def test_who_reads_does_not_write(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)

    def reads() -> None:
        with translated(), read_connection(store._engine) as c, c.begin():
            INSERT_BANK.rows(c, BANK)

    def asks() -> None:
        with translated(), single_connection(store._engine) as c:
            INSERT_BANK.rows(c, BANK)

    with pytest.raises(DatabaseUnavailable):
        reads()
    with pytest.raises(AssertionError):
        asks()
    with store.read() as tx:
        assert tx.banks.list() == []
    store.close()
