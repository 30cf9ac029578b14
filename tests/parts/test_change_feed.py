"""Processes are told of changes: what one commits, the others' indexes have soon after."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from hashdb.index.exact import ExactIndex
from hashdb.model import Bank
from hashdb.snapshot import ReferenceIndex
from hashdb.store import Store
from hashdb.store.feed import ChangeFeed
from tests.conftest import Postgres
from tests.parts.store_samples import add

NEVER = 3600.0  # a poll that is not what a test waits for


def soon(what: Callable[[], bool], seconds: float = 15.0) -> bool:
    until = time.monotonic() + seconds
    while not what():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def told(store: Store, **polls: float) -> Iterator[tuple[ChangeFeed, ReferenceIndex]]:
    """An index that a feed keeps up, with nobody searching in it."""
    index = ReferenceIndex(store, ExactIndex, folder=None, signal_types=["pdq"])
    index.open()
    feed = ChangeFeed(store, index.refresh, **polls)
    feed.start()
    try:
        yield feed, index
    finally:
        feed.stop()


def bank_in(store: Store) -> Bank:
    with store.begin() as tx:
        return tx.banks.create("attacks")


def added(store: Store, bank: Bank, name: str) -> int:
    """Adds a reference; the number of its change."""
    with store.begin() as tx:
        add(tx, bank, name)
        return tx.changes.head()


def test_an_index_is_told_by_postgresql(postgres_url: str) -> None:
    with closing(Store.open(postgres_url)) as ours, closing(Store.open(postgres_url)) as theirs:
        bank = bank_in(theirs)
        with told(ours, poll_s=NEVER, listening_poll_s=NEVER) as (feed, index):
            assert soon(lambda: feed.listens)
            for n in range(5):
                number = added(theirs, bank, f"v{n}")
                assert soon(lambda number=number: index.number == number)


def test_an_undone_change_is_not_told(postgres_url: str) -> None:
    with closing(Store.open(postgres_url)) as store:
        bank = bank_in(store)
        woken = threading.Semaphore(0)
        feed = ChangeFeed(store, woken.release, poll_s=NEVER, listening_poll_s=NEVER)
        feed.start()
        assert woken.acquire(timeout=15)  # when it began to listen
        with suppress(ZeroDivisionError), store.begin() as tx:
            add(tx, bank, "lost")
            tx.changes.flush()
            raise ZeroDivisionError
        with store.begin() as tx:
            tx.banks.update(bank.id, label="no change of a reference")
        assert not woken.acquire(timeout=1.5)
        added(store, bank, "kept")
        assert woken.acquire(timeout=15)
        feed.stop()


def test_where_nobody_tells_it_is_asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "notifies", False)
    bank = bank_in(store)
    with told(store, poll_s=0.05) as (feed, index):
        number = added(store, bank, "v")
        assert soon(lambda: index.number == number)
        assert not feed.listens


def test_a_listener_that_hears_nothing_asks_all_the_same(postgres_url: str) -> None:
    with closing(Store.open(postgres_url)) as store:
        bank = bank_in(store)
        with told(store, poll_s=NEVER, listening_poll_s=1.0) as (feed, index):
            assert soon(lambda: feed.listens)
            with store.begin() as tx:
                add(tx, bank, "silent")
                tx.changes._connection = Silent(tx.changes._connection)  # type: ignore[assignment]
            assert soon(lambda: index.number == 1)


class Silent:
    """A connection that sends no notification, as a pooler may not."""

    def __init__(self, connection: object) -> None:
        self._connection = connection
        self.dialect = connection.dialect  # type: ignore[attr-defined]

    def execute(self, statement: object, *more: object) -> object:
        if "pg_notify" not in str(statement):
            return self._connection.execute(statement, *more)  # type: ignore[attr-defined]
        return None


def test_a_listener_that_was_cut_off_listens_again_and_misses_nothing(
    own_postgres: Postgres,
) -> None:
    url = own_postgres.url("seawall")
    with closing(Store.open(url)) as ours, closing(Store.open(url)) as theirs:
        bank = bank_in(theirs)
        with told(ours, poll_s=0.2, listening_poll_s=NEVER) as (feed, index):
            for n in range(5):
                assert soon(lambda: feed.listens)
                own_postgres.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'seawall-feed'"
                )
                number = added(theirs, bank, f"v{n}")
                assert soon(lambda number=number: index.number == number)


def test_a_server_that_was_away_is_listened_to_again(
    own_postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    url = own_postgres.url("seawall")
    with closing(Store.open(url)) as ours:
        bank = bank_in(ours)
        with told(ours, poll_s=0.1, listening_poll_s=NEVER) as (feed, index):
            assert soon(lambda: feed.listens)
            own_postgres.stop()
            assert soon(lambda: not feed.listens)
            time.sleep(1)
            own_postgres.start()
            with closing(Store.open(url)) as theirs:
                number = added(theirs, bank, "after")
                assert soon(lambda: index.number == number)
                assert soon(lambda: feed.listens)
                number = added(theirs, bank, "told")
                assert soon(lambda: index.number == number)
    assert len([r for r in caplog.records if r.name == "seawall.feed"]) == 1
