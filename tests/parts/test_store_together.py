"""Pieces of work that share a transaction: each is committed before its answer, or undone alone."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from hashdb.errors import BadArgument, DatabaseUnavailable, NotFound
from hashdb.store import Store, Transaction
from hashdb.store import engine as engines
from hashdb.store.grouping import MOST, Group


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'seawall.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    opened = Store.open(url, upgrade=True)
    yield opened
    opened.close()


def names(store: Store) -> list[str]:
    with store.read() as tx:
        return sorted(bank.name for bank in tx.banks.list())


def make(name: str) -> Any:
    return lambda tx: tx.banks.create(name).name


def while_another_writes(store: Store, works: Sequence[Any]) -> list[Any]:
    """Outcomes of works that all wait for a transaction that is open meanwhile."""
    with ThreadPoolExecutor(len(works)) as pool:
        with store.begin():
            futures = [pool.submit(store.together, work) for work in works]
            time.sleep(0.3)
        return [f.exception(30) or f.result(30) for f in futures]


def test_each_piece_gives_its_own_answer(store: Store) -> None:
    works = [make(f"bank-{n}") for n in range(12)]
    assert while_another_writes(store, works) == [f"bank-{n}" for n in range(12)]
    assert names(store) == sorted(f"bank-{n}" for n in range(12))


def test_a_piece_that_raises_is_undone_alone(store: Store) -> None:
    def half(tx: Transaction) -> None:
        tx.banks.create("half")
        tx.banks.get("nowhere")

    def broken(tx: Transaction) -> None:
        tx.banks.create("bad\0name")  # PostgreSQL keeps no NUL
        raise BadArgument("no")

    outcomes = while_another_writes(store, [make("one"), half, broken, make("two")])
    assert outcomes[0] == "one"
    assert isinstance(outcomes[1], NotFound)
    assert isinstance(outcomes[2], BadArgument)
    assert outcomes[3] == "two"
    assert names(store) == ["one", "two"]


def test_alone_it_raises_what_the_work_raises(store: Store) -> None:
    def half(tx: Transaction) -> None:
        tx.banks.create("half")
        raise NotFound("nothing")

    with pytest.raises(NotFound):
        store.together(half)
    assert names(store) == []


def test_those_who_wait_share_a_commit(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path / 'seawall.db'}")
    commits: list[int] = []
    event.listen(store._engine, "commit", lambda _: commits.append(1))
    works = [make(f"bank-{n}") for n in range(MOST)]
    while_another_writes(store, works)
    assert len(names(store)) == MOST
    writes = len(commits)
    assert writes <= 8, "not one for each"
    store.close()


def test_an_answer_waits_for_its_commit(tmp_path: Path) -> None:
    """Another process sees what was answered, whoever's transaction it was in."""
    path = tmp_path / "seawall.db"
    store = Store.open(f"sqlite:///{path}")
    other = sqlite3.connect(path, check_same_thread=False)
    lock, missing = threading.Lock(), []

    def write(n: int) -> None:
        name = store.together(make(f"bank-{n}"))
        with lock:
            if not other.execute("SELECT 1 FROM banks WHERE name = ?", (name,)).fetchone():
                missing.append(name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    assert missing == []
    other.close()
    store.close()


def test_a_commit_that_fails_fails_for_all_of_its_group() -> None:
    turns: list[Sequence[int]] = []

    def commit(works: Sequence[int]) -> list[int]:
        turns.append(works)
        time.sleep(0.3)
        if len(turns) == 2:
            raise DatabaseUnavailable("the disk is full")
        return list(works)

    group: Group[int] = Group(commit)
    with ThreadPoolExecutor(5) as pool:
        outcomes = [f.exception(10) for f in [pool.submit(group.run, n) for n in range(5)]]
    assert sorted(len(works) for works in turns) == [1, 4]
    assert [type(e) for e in outcomes].count(DatabaseUnavailable) == len(turns[1])
    assert group.run(7) == 7


def test_threads_do_not_find_the_database_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many writers take turns; SQLite's own waiting is for other processes."""
    url = f"sqlite:///{tmp_path / 'seawall.db'}?timeout=0"
    store = Store.open(url)

    def write(n: int) -> None:
        with store.begin() as tx:
            tx.banks.create(f"bank-{n}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(100)))
    assert len(names(store)) == 100
    monkeypatch.setattr(engines, "BUSY_TIMEOUT_S", 0.1)
    with store.begin(), ThreadPoolExecutor(1) as pool:
        error = pool.submit(write, 101).exception(10)
    assert isinstance(error, DatabaseUnavailable)
    store.close()


def test_groups_are_of_bounded_size() -> None:
    sizes: list[int] = []
    release = threading.Event()

    def commit(works: Sequence[int]) -> list[int]:
        release.wait(10)
        sizes.append(len(works))
        return [2 * n for n in works]

    group: Group[int] = Group(commit)
    with ThreadPoolExecutor(3 * MOST) as pool:
        futures = [pool.submit(group.run, n) for n in range(3 * MOST)]
        time.sleep(0.3)
        release.set()
        assert [f.result(10) for f in futures] == [2 * n for n in range(3 * MOST)]
    assert max(sizes) <= MOST
    assert sum(sizes) == 3 * MOST


def test_who_is_committed_does_not_wait_for_the_next_commit() -> None:
    entered, release = threading.Semaphore(0), threading.Semaphore(0)

    def commit(works: Sequence[int]) -> list[int]:
        entered.release()
        assert release.acquire(timeout=10)
        return list(works)

    group: Group[int] = Group(commit)
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(group.run, 0)
        assert entered.acquire(timeout=10)
        second = [pool.submit(group.run, n) for n in range(1, 6)]
        time.sleep(0.2)
        release.release()
        assert first.result(10) == 0
        assert entered.acquire(timeout=10)  # the five, together
        third = [pool.submit(group.run, n) for n in range(6, 12)]
        time.sleep(0.2)
        release.release()
        assert entered.acquire(timeout=10)  # the six, whose commit does not end yet
        assert [f.result(10) for f in second] == [1, 2, 3, 4, 5]
        release.release()
        assert [f.result(10) for f in third] == list(range(6, 12))


def test_a_writer_follows_one_of_another_process(tmp_path: Path) -> None:
    """And one that waits longer than the database's limit is told."""
    path = tmp_path / "seawall.db"
    store = Store.open(f"sqlite:///{path}?timeout=2")
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(store.together, make("late"))
        time.sleep(0.5)
        assert not waiting.done()
        other.execute("COMMIT")
        assert waiting.result(10) == "late"
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable):
        store.together(make("never"))
    other.execute("ROLLBACK")
    assert store.together(make("now")) == "now"
    other.close()
    store.close()
