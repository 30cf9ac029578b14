"""Reviews and decisions, on both engines."""

from __future__ import annotations

from collections import Counter

import pytest

from hashdb.errors import AlreadyDecided, BadArgument, Conflict, NotFound
from hashdb.model import Action, Review
from hashdb.store import Store
from tests.parts.store_samples import record, together, verdict


def opened(store: Store, *uploads: str, queue: str = "default") -> list[Review]:
    with store.begin() as tx:
        for upload in uploads:
            record(tx, upload, verdict=verdict(upload, action=Action.REVIEW), queue=queue)
        found = tx.casework.reviews(queue=queue)[0]
    return sorted((r for r in found if r.upload_id in uploads), key=lambda r: r.upload_id)


def test_a_review_waits_is_claimed_and_is_decided(store: Store) -> None:
    [review] = opened(store, "u1")
    assert (review.upload_id, review.claimed_by) == ("u1", None)

    def listed() -> list[int]:
        with store.read() as tx:
            states = ("open", "claimed", "decided")
            return [len(tx.casework.reviews(state=s)[0]) for s in states]  # type: ignore[arg-type]

    assert listed() == [1, 0, 0]
    with store.begin() as tx:
        claimed = tx.casework.claim(review.id, "ana")
        assert (claimed.claimed_by, claimed.id) == ("ana", review.id)
        assert claimed.claimed_at is not None
    assert listed() == [0, 1, 0]
    with store.begin() as tx:
        decision = tx.casework.decide(review.id, Action.BLOCK, "terrorism", "ana", "It is it.")
        assert tx.casework.review(review.id) == claimed
    assert listed() == [0, 0, 1]
    assert (decision.action, decision.label) == (Action.BLOCK, "terrorism")
    assert (decision.review_id, decision.upload_id) == (review.id, "u1")
    assert (decision.reviewer, decision.rationale) == ("ana", "It is it.")
    with store.read() as tx:
        assert tx.casework.decisions() == ([decision], None)


def test_claiming(store: Store) -> None:
    [review] = opened(store, "u1")
    with store.begin() as tx:
        first = tx.casework.claim(review.id, "ana")
        assert tx.casework.claim(review.id, "ana") == first
        with pytest.raises(Conflict, match="ana"):
            tx.casework.claim(review.id, "bo")
        assert tx.casework.release(review.id, "bo") == first
        assert tx.casework.release(review.id, "ana").claimed_by is None
        assert tx.casework.claim(review.id, "bo").claimed_by == "bo"
        tx.casework.decide(review.id, Action.ALLOW, None, "bo", "")
        with pytest.raises(AlreadyDecided):
            tx.casework.claim(review.id, "bo")
        with pytest.raises(NotFound):
            tx.casework.claim("rev_x", "ana")


def test_many_claim_one_review_at_once(store: Store) -> None:
    [review] = opened(store, "u1")

    def claim(name: str) -> object:
        with store.begin() as tx:
            return tx.casework.claim(review.id, name).claimed_by

    answers = together(*[lambda n=n: claim(n) for n in "abcd"])
    winners = [a for a in answers if isinstance(a, str)]
    assert len(winners) == 1
    assert sum(isinstance(a, Conflict) for a in answers) == 3, answers


def test_a_review_is_decided_once(store: Store) -> None:
    [review] = opened(store, "u1")

    def decide(name: str) -> object:
        with store.begin() as tx:
            return tx.casework.decide(review.id, Action.BLOCK, None, name, "")

    answers = together(*[lambda n=n: decide(n) for n in "abcd"])
    assert Counter(type(a).__name__ for a in answers) == {"Decision": 1, "AlreadyDecided": 3}
    with store.read() as tx:
        assert len(tx.casework.decisions()[0]) == 1


def test_deciding_an_unknown_review(store: Store) -> None:
    with store.begin() as tx, pytest.raises(NotFound, match="rev_x"):
        tx.casework.decide("rev_x", Action.ALLOW, None, "ana", "")


def test_reviews_are_filtered_and_paged(store: Store) -> None:
    opened(store, "u1", "u2", "u3", queue="day")
    opened(store, "u4", queue="night")
    with store.read() as tx:
        assert [r.upload_id for r in tx.casework.reviews(queue="night")[0]] == ["u4"]
        assert [r.queue for r in tx.casework.reviews(upload_id="u2")[0]] == ["day"]
        some, after = tx.casework.reviews(limit=3)
        rest, end = tx.casework.reviews(limit=3, after=after)
        assert {r.upload_id for r in some + rest} == {"u1", "u2", "u3", "u4"}
        assert (len(some), len(rest), end) == (3, 1, None)
        assert [r.id for r in some + rest] == sorted(r.id for r in some + rest)
        with pytest.raises(BadArgument):
            tx.casework.reviews(state="lost")  # type: ignore[arg-type]


def test_decisions_are_filtered_and_paged(store: Store) -> None:
    made = []
    for review in opened(store, "u1", "u2", "u3"):
        with store.begin() as tx:
            made.append(tx.casework.decide(review.id, Action.ALLOW, None, "ana", "news"))
    with store.read() as tx:
        assert tx.casework.decisions(upload_id="u2") == ([made[1]], None)
        some, after = tx.casework.decisions(limit=2)
        rest, end = tx.casework.decisions(limit=2, after=after)
        assert sorted(d.id for d in some + rest) == sorted(d.id for d in made)
        assert (len(some), len(rest), end) == (2, 1, None)


def test_a_verdict_has_one_open_review(store: Store) -> None:
    with store.begin() as tx:
        record(tx, "u1", verdict=verdict("u1", action=Action.BLOCK))

    def appeal() -> Review:
        with store.begin() as tx:
            return tx.casework.open_review_of("key_a", "u1", queue="appeals")

    answers = together(*[appeal] * 4)
    assert len({r.id for r in answers}) == 1, answers
    with store.begin() as tx:
        tx.casework.decide(answers[0].id, Action.ALLOW, None, "ana", "")
    assert appeal().id != answers[0].id


def test_a_review_needs_a_verdict(store: Store) -> None:
    with store.begin() as tx:
        with pytest.raises(NotFound, match="u9"):
            tx.casework.open_review_of("key_a", "u9")
        with pytest.raises(NotFound):
            tx.casework.review("rev_x")
