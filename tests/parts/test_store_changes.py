"""The change log: a reader never skips a row that commits late, and never sees one twice."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from hashdb.model import Bank, ChangeKind
from hashdb.store import Store, Transaction
from tests.parts.store_samples import add, together


@pytest.fixture
def bank(store: Store) -> Bank:
    with store.begin() as tx:
        return tx.banks.create("attacks")


@contextmanager
def undone(store: Store) -> Iterator[Transaction]:
    """A transaction that is rolled back at its end."""
    with suppress(ZeroDivisionError), store.begin() as tx:
        yield tx
        raise ZeroDivisionError


def test_an_empty_log(store: Store) -> None:
    with store.read() as tx:
        assert tx.changes.head() == 0
        assert tx.changes.since(0) == []


def test_the_log_tells_what_was_done_in_order(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        one, two = add(tx, bank, "one"), add(tx, bank, "two")
        tx.banks.withdraw(one.id)
        tx.banks.set_enabled(two.id, False)
    with store.read() as tx:
        log = tx.changes.since(0)
        assert [(c.kind, c.reference_id) for c in log] == [
            (ChangeKind.ADD, one.id),
            (ChangeKind.ADD, two.id),
            (ChangeKind.WITHDRAW, one.id),
            (ChangeKind.DISABLE, two.id),
        ]
        assert {c.bank_id for c in log} == {bank.id}
        assert all(c.at.tzinfo is not None for c in log)
        assert tx.changes.head() == log[-1].number
        assert tx.changes.since(log[1].number) == log[2:]
        assert tx.changes.since(log[1].number, limit=1) == log[2:3]
        assert tx.changes.since(log[-1].number) == []


def test_changes_of_some_banks(store: Store, bank: Bank) -> None:
    with store.begin() as tx:
        other, third = tx.banks.create("other"), tx.banks.create("third")
        made = [add(tx, b, f"v{i}") for i, b in enumerate((bank, other, third, other))]
        some = tx.changes.since(0, bank_ids=[other.id])
        assert [c.reference_id for c in some] == [made[1].id, made[3].id]
        assert len(tx.changes.since(0, bank_ids=[bank.id, other.id])) == 3
        assert tx.changes.since(0, bank_ids=[]) == []


def test_an_undone_transaction_leaves_no_change(store: Store, bank: Bank) -> None:
    with undone(store) as tx:
        add(tx, bank, "lost")
        assert tx.changes.head() > 0
    with store.begin() as tx:
        made = add(tx, bank, "kept")
    with store.read() as tx:
        assert [c.reference_id for c in tx.changes.since(0)] == [made.id]
        assert [r.id for r in tx.banks.references()[0]] == [made.id]


def test_a_number_is_never_used_again(store: Store, bank: Bank) -> None:
    """A reader that stood at an undone number would skip the change that got it next."""
    with undone(store) as tx:
        add(tx, bank, "lost")
        lost = tx.changes.head()
    with store.begin() as tx:
        add(tx, bank, "kept")
        assert tx.changes.head() >= lost


def test_a_transaction_that_commits_late_is_not_skipped(store: Store, bank: Bank) -> None:
    """The first has its number and stays open; the second must not commit a higher one before."""
    done = threading.Event()

    def second() -> str:
        with store.begin() as tx:
            made = add(tx, bank, "second")
        done.set()
        return made.id

    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(second()))
    with store.begin() as tx:
        first = add(tx, bank, "first")
        tx.changes.flush()
        thread.start()
        assert not done.wait(0.5), "the second has overtaken the first"
        with store.read() as reader:
            assert reader.changes.since(0) == []
    thread.join(30)
    with store.read() as reader:
        assert [c.reference_id for c in reader.changes.since(0)] == [first.id, *answers]


def test_work_before_the_numbering_holds_nobody_up(postgres_url: str) -> None:
    """PostgreSQL only: SQLite's writers wait for each other anyway."""
    store = Store.open(postgres_url)
    with store.begin() as tx:
        bank = tx.banks.create("attacks")
    with store.begin() as slow:
        late = add(slow, bank, "late")
        with store.begin() as quick:
            early = add(quick, bank, "early")
        with store.read() as reader:
            seen = reader.changes.since(0)
            assert [c.reference_id for c in seen] == [early.id]
    with store.read() as reader:
        after = reader.changes.since(seen[-1].number)
        assert [c.reference_id for c in after] == [late.id]
    store.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_reader_beside_many_writers_sees_each_change_once(
    store: Store, bank: Bank, seed: int
) -> None:
    writers, transactions = 4, 12
    committed: list[str] = []
    running = [True]
    numbers: list[int] = []
    followed: list[str] = []

    def write(worker: int) -> None:
        chance = random.Random(seed * 100 + worker)
        for i in range(transactions):
            made = []
            try:
                with store.begin() as tx:
                    for j in range(chance.randint(1, 3)):
                        made.append(add(tx, bank, f"{worker}-{i}-{j}").id)
                    time.sleep(chance.random() * 0.004)
                    tx.changes.flush()  # numbered: now the commit may be late
                    time.sleep(chance.random() * 0.008)
                    if chance.random() < 0.25:
                        raise ZeroDivisionError
            except ZeroDivisionError:
                continue
            committed.extend(made)

    def follow() -> None:
        chance = random.Random(seed)
        at, last_look = 0, False
        while True:
            with store.read() as tx:
                some = tx.changes.since(at, limit=chance.choice((1, 2, 1000)))
                assert tx.changes.head() >= at
            if some:
                at = some[-1].number
                numbers.extend(c.number for c in some)
                followed.extend(c.reference_id for c in some)
            elif last_look:
                return
            else:
                last_look = not running[0]

    def write_all() -> None:
        try:
            results = together(*[lambda w=w: write(w) for w in range(writers)])
        finally:
            running[0] = False
        assert results == [None] * writers, results

    assert together(follow, write_all) == [None, None]
    assert sorted(followed) == sorted(committed)
    assert all(a < b for a, b in zip(numbers, numbers[1:], strict=False))
    assert len(committed) > writers * transactions / 2
