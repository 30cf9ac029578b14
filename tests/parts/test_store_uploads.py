"""Uploads: one verdict for each, whoever asks at the same time; what was seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import func, select

from hashdb.errors import NotFound, UploadConflict
from hashdb.model import (
    Action,
    Alignment,
    FrameMatch,
    Orientation,
    Reference,
    View,
    new_id,
    now,
)
from hashdb.store import Store, Transaction
from hashdb.store.uploads import Past
from hashdb.tables import reviews, seen, upload_fingerprints, uploads, verdicts
from tests.parts.store_samples import (
    add,
    digests,
    match,
    prints,
    record,
    same,
    stored,
    together,
    verdict,
)


@pytest.fixture
def reference(store: Store) -> Reference:
    with store.begin() as tx:
        bank = tx.banks.create("attacks", Action.BLOCK, "terrorism")
        return add(tx, bank, source="police", duration_s=60.5, metadata={"case": [1, "ü"]})


def rows(store: Store) -> dict[str, int]:
    tables = (uploads, verdicts, upload_fingerprints, seen, reviews)
    with store._engine.connect() as raw:
        return {t.name: raw.scalar(select(func.count()).select_from(t)) or 0 for t in tables}


def test_a_verdict_comes_back_as_it_was_concluded(store: Store, reference: Reference) -> None:
    found = match(reference, 4, 14.5, 10, 18.000000001)
    frame = FrameMatch(4.0, 10.0, 3, 0, 0, View.FULL)
    aligned = Alignment(reference.id, "pdq", Orientation.ORIGINAL, found.segments, (frame,), 0.5)
    given = verdict("u1", replace(found, alignments=(aligned,)), action=Action.BLOCK)
    with store.begin() as tx:
        answer = record(tx, "u1", verdict=given)
    assert answer == stored(given)
    with store.read() as tx:
        assert tx.uploads.verdict("key_a", "u1") == (answer, "r")
        assert tx.uploads.verdicts_by_upload("u1") == [answer]
        assert tx.uploads.verdict("key_b", "u1") is None
        assert tx.uploads.verdict("key_a", "u2") is None
        assert tx.uploads.verdicts_by_upload("u2") == []


def test_a_past_verdict_does_not_follow_the_bank(store: Store, reference: Reference) -> None:
    with store.begin() as tx:
        answer = record(tx, "u1", verdict=verdict("u1", match(reference)))
        tx.banks.update(reference.bank.id, name="renamed", enabled=False)
        tx.banks.withdraw(reference.id)
    with store.read() as tx:
        again = tx.uploads.verdict("key_a", "u1")
    assert again is not None
    assert again[0] == answer
    assert again[0].matches[0].reference == reference
    assert again[0].matches[0].reference.bank.name == "attacks"


def test_the_same_request_gets_the_first_verdict(store: Store, reference: Reference) -> None:
    with store.begin() as tx:
        first = record(tx, "u1", fingerprints=[prints()])
        before = rows_in(tx)
        second = record(tx, "u1", verdict=verdict("u1", match(reference), action=Action.REVIEW))
        assert second == first
        assert rows_in(tx) == before


def rows_in(tx: object) -> int:
    """How many rows there are of an upload, within the transaction."""
    connection = tx.uploads._connection  # type: ignore[attr-defined]
    tables = (uploads, verdicts, upload_fingerprints, seen, reviews)
    return sum(connection.scalar(select(func.count()).select_from(t)) for t in tables)


def test_other_content_is_a_conflict_that_changes_nothing(store: Store) -> None:
    with store.begin() as tx:
        first = record(tx, "u1")
        with pytest.raises(UploadConflict, match="u1"):
            record(tx, "u1", request_digest="other")
        assert tx.uploads.verdict("key_a", "u1") == (first, "r")


def test_each_key_has_its_own_uploads(store: Store) -> None:
    early = replace(verdict("u1"), judged_at=now() - timedelta(hours=1))
    late = replace(verdict("u1", action=Action.BLOCK), judged_at=now())
    with store.begin() as tx:
        record(tx, "u1", key="key_a", verdict=late)
        record(tx, "u1", key="key_b", verdict=early, request_digest="other")
    with store.read() as tx:
        assert tx.uploads.verdicts_by_upload("u1") == [late, early]


def test_one_transactions_work_is_there_wholly_or_not_at_all(
    store: Store, reference: Reference
) -> None:
    unknown = replace(reference, id=new_id("ref"))
    given = verdict("u1", match(reference), match(unknown), action=Action.REVIEW)

    def fails() -> None:
        with store.begin() as tx:
            record(tx, "u1", verdict=given, fingerprints=[prints()])

    [error] = together(fails)
    assert "foreign key" in str(error).lower()
    assert set(rows(store).values()) == {0}


def test_what_is_kept_of_an_upload(store: Store, reference: Reference) -> None:
    full, trimmed = prints(4), prints(3, view=View.TRIMMED)
    turned = replace(prints(4, seed=5), orientation=Orientation.ROTATE_180)
    given = verdict("u1", match(reference), match(reference), action=Action.REVIEW)
    with store.begin() as tx:
        record(tx, "u1", verdict=given, fingerprints=[full, turned, trimmed, prints(0, track=1)])
    assert rows(store) == {
        "uploads": 1,
        "verdicts": 1,
        "upload_fingerprints": 2,
        "seen": 1,
        "reviews": 1,
    }
    with store.read() as tx:
        (past,) = kept_since(tx, now() - timedelta(minutes=1))
        assert past.verdict.upload_id == "u1"
        assert len(past.fingerprints) == 2
        assert all(same(f, full if f.view is View.FULL else trimmed) for f in past.fingerprints)


@pytest.mark.parametrize("action", list(Action))
def test_a_review_is_opened_where_the_action_asks_for_one(store: Store, action: Action) -> None:
    with store.begin() as tx:
        record(tx, "u1", verdict=verdict("u1", action=action), queue="night")
        waiting, _ = tx.casework.reviews(state="open")
    expected = [("u1", "night")] if action is Action.REVIEW else []
    assert [(r.upload_id, r.queue) for r in waiting] == expected


def test_in_what_a_reference_was_seen(store: Store, reference: Reference) -> None:
    with store.begin() as tx:
        other = add(tx, reference.bank, "other")
        record(tx, "u1", verdict=verdict("u1", match(reference)))
        record(tx, "u2", verdict=verdict("u2", match(other), match(reference)))
        record(tx, "u3")
    with store.read() as tx:
        assert [name for name, _ in tx.uploads.seen(reference.id)] == ["u1", "u2"]
        assert [name for name, _ in tx.uploads.seen(other.id)] == ["u2"]
        assert tx.uploads.seen("ref_x") == []
        assert all(now() - at < timedelta(minutes=1) for _, at in tx.uploads.seen(reference.id))


def test_the_same_upload_at_the_same_time_gets_one_verdict(
    store: Store, reference: Reference
) -> None:
    """Each asker concluded something else: one wins, and all are told the same."""

    def ask(i: int) -> object:
        given = replace(
            verdict("u1", match(reference), action=Action.REVIEW), policy_version=str(i)
        )
        with store.begin() as tx:
            return record(tx, "u1", verdict=given, fingerprints=[prints(seed=i)])

    answers = together(*[lambda i=i: ask(i) for i in range(6)])
    assert all(answer == answers[0] for answer in answers), answers
    assert set(rows(store).values()) == {1}


def test_other_content_at_the_same_time_gets_one_verdict_and_conflicts(store: Store) -> None:
    def ask(i: int) -> object:
        with store.begin() as tx:
            return record(tx, "u1", request_digest=f"r{i}")

    answers = together(*[lambda i=i: ask(i) for i in range(4)])
    kinds = sorted(type(answer).__name__ for answer in answers)
    assert kinds == ["UploadConflict"] * 3 + ["Verdict"]


def kept_since(tx: Transaction, at: datetime) -> list[Past]:
    """What is kept of all uploads since."""
    return [tx.uploads.past(row) for row in tx.uploads.rows_since(at, limit=100)]


def test_what_is_kept_of_past_uploads(store: Store) -> None:
    with store.begin() as tx:
        for i in range(5):
            record(tx, f"u{i}", fingerprints=[prints(2, seed=i), prints(1, track=1)])
        record(tx, "bare")
    middle = now()
    with store.begin() as tx:
        record(tx, "late", fingerprints=[prints(3)])
    with store.read() as tx:
        everything = tx.uploads.rows_since(middle - timedelta(1), limit=100)
        paged: list[str] = []
        while some := tx.uploads.rows_since(
            middle - timedelta(1), limit=3, after=paged[-1] if paged else None
        ):
            assert len(some) <= 3
            paged += some
        assert paged == everything
        past = kept_since(tx, middle - timedelta(1))
        names = {p.verdict.upload_id: len(p.fingerprints) for p in past}
        assert names == {"u0": 2, "u1": 2, "u2": 2, "u3": 2, "u4": 2, "bare": 0, "late": 1}
        assert all(p.digests == digests(p.verdict.upload_id) for p in past)
        assert [p.verdict.upload_id for p in kept_since(tx, middle)] == ["late"]
        assert kept_since(tx, now() + timedelta(1)) == []
        with pytest.raises(NotFound):
            tx.uploads.past("upl_0")


def test_digests_of_an_upload_are_kept(store: Store) -> None:
    with store.begin() as tx:
        record(tx, "u1", metadata={"user": "ü"})
    with store._engine.connect() as raw:
        row = raw.execute(select(uploads)).mappings().one()
    assert (row["sha256"], row["md5"]) == (digests("u1").sha256, digests("u1").md5)
    assert row["metadata"] == {"user": "ü"}
