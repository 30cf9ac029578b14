"""Connections that stand ready: used by one at a time, and as good as fresh ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, insert, select, text

from hashdb.errors import DatabaseUnavailable, NotFound
from hashdb.model import Action
from hashdb.store import Store
from hashdb.store.engine import READY, single_connection
from hashdb.store.failures import translated
from hashdb.store.ready import Ready
from hashdb.tables import banks


@pytest.fixture
def lite(sqlite_url: str) -> Iterator[Store]:
    store = Store.open(sqlite_url)
    yield store
    store.close()


def out(store: Store) -> int:
    """How many connections of the pool are not in it."""
    return int(store._engine.pool.checkedout())  # type: ignore[attr-defined]


def test_they_are_used_again_and_no_more_are_kept_than_wanted(lite: Store) -> None:
    made: list[Connection] = []

    def make() -> Connection:
        made.append(single_connection(lite._engine))
        return made[-1]

    ready = Ready(make, 2)
    for _ in range(3):
        with ready.taken() as one:
            one.execute(select(banks)).all()
    assert len(made) == 1
    with ready.taken() as one, ready.taken() as two, ready.taken() as three:
        assert len({id(c) for c in (one, two, three)}) == 3
    assert [c.closed for c in made].count(False) == 2
    ready.close()
    assert all(c.closed for c in made)


def test_one_whose_use_failed_is_not_used_again(lite: Store) -> None:
    ready = Ready(lambda: single_connection(lite._engine), 2)
    with pytest.raises(NotFound), ready.taken() as one:
        raise NotFound("nothing")
    assert one.closed
    with ready.taken() as two:
        assert two is not one
    ready.close()


def test_what_asks_sees_each_commit_and_writes_nothing(lite: Store) -> None:
    for n in range(3):
        with lite.begin() as tx:
            tx.banks.create(f"bank-{n}", action=Action.BLOCK)
        with lite.ask() as tx:
            assert len(tx.banks.list()) == n + 1
    statement = insert(banks).values(id="bank_9", name="x", action="block", enabled=True)
    with pytest.raises(DatabaseUnavailable), translated(), lite._asking.taken() as c:
        c.execute(statement.values(created_at=None))
    with pytest.raises(DatabaseUnavailable), translated(), lite._asking.taken() as c:
        c.execute(text("DELETE FROM banks"))
    with lite.ask() as tx:
        assert len(tx.banks.list()) == 3


def test_what_a_writer_left_undone_does_not_come_with_the_next(lite: Store) -> None:
    def fails() -> None:
        with lite.begin() as tx:
            tx.banks.create("lost", action=Action.BLOCK)
            raise NotFound("nothing")

    with pytest.raises(NotFound):
        fails()
    with lite.begin() as tx:
        tx.banks.create("kept", action=Action.BLOCK)
    with lite.read() as tx:
        assert [b.name for b in tx.banks.list()] == ["kept"]


def test_many_threads_ask_at_once_and_few_connections_stay(lite: Store) -> None:
    with lite.begin() as tx:
        tx.banks.create("one", action=Action.BLOCK)

    def asks(_: int) -> int:
        with lite.ask() as tx:
            return len(tx.banks.list())

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(asks, range(200))) == {1}
    assert out(lite) <= READY + 1
    lite.close()
    with lite.ask() as tx:  # as a store that was closed may be used on
        assert len(tx.banks.list()) == 1


def test_a_fork_finds_none_of_its_parents(lite: Store) -> None:
    with lite.begin() as tx:
        tx.banks.create("one", action=Action.BLOCK)
    with lite.ask() as tx:
        assert len(tx.banks.list()) == 1
    child = os.fork()
    if not child:
        try:
            empty = not lite._asking._idle and not lite._writing._idle
            with lite.begin() as tx:
                tx.banks.create("two", action=Action.BLOCK)
            os._exit(0 if empty else 2)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with lite.ask() as tx:
        assert len(tx.banks.list()) == 2
