"""What look-backs found: beside the verdict, once, and in the order of the commits."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hashdb.model import Action, Reference
from hashdb.store import Store, Transaction
from hashdb.store.uploads import Past
from tests.parts.store_samples import add, later, match, record, stored, together, verdict


@pytest.fixture
def references(store: Store) -> list[Reference]:
    with store.begin() as tx:
        bank = tx.banks.create("attacks")
        return [add(tx, bank, f"video {n}") for n in range(3)]


def judged(store: Store, *names: str) -> list[Past]:
    with store.begin() as tx:
        for name in names:
            record(tx, name)
        return [tx.uploads.past(row) for row in tx.uploads.rows_since(later(-1), limit=100)]


def find(tx: Transaction, past: Past, *references: Reference) -> bool:
    shown = verdict(past.verdict.upload_id, *map(match, references), action=Action.BLOCK)
    return tx.found.record(past, shown, [r.id for r in references], queue="look-back")


def test_what_is_found_later_is_found_once(store: Store, references: list[Reference]) -> None:
    (past,) = judged(store, "u1")
    with store.begin() as tx:
        assert find(tx, past, references[0])
        assert not find(tx, past, references[0])
    with store.read() as tx:
        assert [name for name, _ in tx.uploads.seen(references[0].id)] == ["u1"]
        ((review,), _) = tx.casework.reviews(queue="look-back")
        assert review.upload_id == "u1"
        assert tx.uploads.past(past.row_id).verdict.action is Action.ALLOW
        ((found,), after) = tx.found.list()
    assert after is None
    assert (found.verdict, found.review_id) == (past.verdict, review.id)
    expected = verdict("u1", match(references[0]), action=Action.BLOCK)
    assert found.found == stored(expected)
    assert found.new_references == (references[0].id,)


def test_the_newest_find_of_an_upload_and_of_a_review(
    store: Store, references: list[Reference]
) -> None:
    one, other = judged(store, "u1", "u2")
    with store.begin() as tx:
        assert find(tx, one, references[0])
        assert find(tx, one, references[0], references[1])
        assert find(tx, other, references[0])
        ((review, second), _) = tx.casework.reviews()
        tx.casework.decide(review.id, Action.ALLOW, None, "ana", "news")
        assert find(tx, one, references[2])
    with store.read() as tx:
        newest = tx.found.of_upload("u1", key_id="key_a")
        assert newest is not None
        assert newest.new_references == (references[2].id,)
        assert tx.found.of_upload("u1", key_id="key_b") is None
        assert tx.found.of_upload("u3") is None
        told = tx.found.of_reviews([review.id, second.id, "rev_0"])
        assert set(told) == {review.id, second.id}
        assert told[review.id].new_references == tuple(r.id for r in references[:2])
        assert len(tx.found.list(key_id="key_a")[0]) == 4
        assert tx.found.list(key_id="key_b") == ([], None)


def test_numbers_rise_in_the_order_of_the_commits(
    store: Store, references: list[Reference]
) -> None:
    """A reader that goes on behind the last number that it saw misses none."""
    rows = judged(store, *(f"u{n}" for n in range(40)))
    seen: list[str] = []
    over = threading.Event()

    def read() -> None:
        after: str | None = None
        while True:
            last = over.is_set()
            with store.read() as tx:
                found, _ = tx.found.list(after=after)
            seen.extend(f.verdict.upload_id for f in found)
            after = str(found[-1].number) if found else after
            if last and not found:
                return

    def finds(some: list[Past]) -> Callable[[], None]:
        def each() -> None:
            for past in some:
                with store.begin() as tx:
                    assert find(tx, past, references[0])

        return each

    reader = threading.Thread(target=read)
    reader.start()
    answers = together(*(finds(rows[n::4]) for n in range(4)))
    over.set()
    reader.join(60)
    assert answers == [None] * 4
    assert sorted(seen) == sorted(p.verdict.upload_id for p in rows)


def test_a_find_whose_commit_is_late_is_not_overtaken(
    store: Store, references: list[Reference]
) -> None:
    late, early = judged(store, "late", "early")

    def overtakes() -> None:
        with store.begin() as tx:
            assert find(tx, early, references[0])

    other = threading.Thread(target=overtakes)
    with store.begin() as tx:
        assert find(tx, late, references[0])
        other.start()
        other.join(0.5)
        with store.read() as reader:
            assert reader.found.list() == ([], None)  # nothing with a higher number is there yet
    other.join(30)
    with store.read() as tx:
        assert [f.verdict.upload_id for f in tx.found.list()[0]] == ["late", "early"]
