"""Runs: walks over many things, and their items, on both engines."""

from __future__ import annotations

import time

import pytest

from hashdb.errors import NotFound
from hashdb.model import Job, JobState, Run, RunCounts
from hashdb.store import Store
from hashdb.store.jobs import MAX_ATTEMPTS
from tests.parts.store_samples import together

KIND = "backfill"


def opened(store: Store, subject: str = "s3://a", **options: object) -> Run:
    with store.begin() as tx:
        return tx.runs.open(KIND, subject, options)


def claimed(store: Store, worker: str = "w", lease_s: float = 60) -> Run | None:
    with store.begin() as tx:
        return tx.runs.claim(worker, lease_s, kinds=[KIND])


def walked(store: Store, run: Run, keys: str, cursor: str | None = None) -> int | None:
    with store.begin() as tx:
        return tx.runs.advance(run, "w", cursor, [(k, {"path": k}) for k in keys])


def counts(store: Store, run: Run) -> RunCounts:
    with store.read() as tx:
        return tx.runs.counts(run.id)


def taken(store: Store, lease_s: float = 60) -> Job | None:
    with store.begin() as tx:
        return tx.jobs.claim("j", lease_s, kinds=[KIND])


def test_a_runs_way(store: Store) -> None:
    run = opened(store, rate=3)
    assert (run.kind, run.subject, run.options) == (KIND, "s3://a", {"rate": 3})
    assert not run.walked
    assert claimed(store) == run
    assert claimed(store, "other") is None
    assert walked(store, run, "abc", "c") == 3
    assert walked(store, run, "cd", "d") == 1
    assert counts(store, run) == RunCounts(4, {})
    with store.begin() as tx:
        assert tx.runs.get(run.id).cursor == "d"
        assert tx.runs.end_walk(run.id, "w")
        assert tx.runs.get(run.id).walked
    assert claimed(store) is None
    for outcome in ("allow", "block", "allow"):
        job = taken(store)
        assert job is not None
        assert job.run_id == run.id
        with store.begin() as tx:
            tx.jobs.finish(job.id, {"action": outcome}, outcome=outcome)
    last = taken(store)
    assert last is not None
    assert counts(store, run).in_hand == 1
    with store.begin() as tx:
        tx.jobs.fail(last.id, {"type": "corrupt-media"})
    assert counts(store, run) == RunCounts(4, {"allow": 2, "block": 1, "failed": 1})
    with store.read() as tx:
        assert [j.payload for j in tx.runs.items(run.id, "block")] == [{"path": "b"}]
        first, second = tx.runs.items(run.id, "allow")
        assert tx.runs.items(run.id, "allow", after=first.id) == [second]


def test_the_same_subject_is_the_same_run(store: Store) -> None:
    def open_it() -> str:
        return opened(store, rate=1).id

    assert len(set(together(*[open_it] * 5))) == 1
    again = opened(store, rate=2)
    assert again.options == {"rate": 2}
    assert opened(store, "s3://b").id != again.id
    with store.read() as tx:
        assert tx.runs.find(KIND, "s3://c") is None
        with pytest.raises(NotFound):
            tx.runs.get("run_0")


def test_a_walk_over_the_same_things_adds_what_is_new(store: Store) -> None:
    run = opened(store)
    claimed(store)
    walked(store, run, "abc")
    with store.begin() as tx:
        tx.runs.walk_again(run.id)  # it has not ended: nothing happens
        assert tx.runs.end_walk(run.id, "w")
        tx.runs.walk_again(run.id)
    again = claimed(store)
    assert again is not None
    assert again.cursor is None
    assert walked(store, run, "abcde") == 2
    assert counts(store, run).listed == 5


def test_a_walker_that_lost_its_lease_adds_nothing(store: Store) -> None:
    run = opened(store)
    claimed(store, "w", 0.05)
    time.sleep(0.1)
    assert claimed(store, "other") is not None
    assert walked(store, run, "abc") is None
    with store.begin() as tx:
        assert not tx.runs.extend(run.id, "w", 60)
        assert not tx.runs.end_walk(run.id, "w")
        assert not tx.runs.release(run.id, "w")
        assert tx.runs.extend(run.id, "other", 60)
        assert tx.runs.release(run.id, "other")
    assert counts(store, run) == RunCounts(0, {})
    assert claimed(store) is not None


def test_an_item_counts_once_whoever_ends_it_and_how_often(store: Store) -> None:
    run = opened(store)
    claimed(store)
    walked(store, run, "a")
    for _ in range(MAX_ATTEMPTS):
        assert taken(store, -1) is not None
    assert taken(store) is None  # it was given up
    assert counts(store, run) == RunCounts(1, {"failed": 1})
    with store.read() as tx:
        (job,) = tx.runs.items(run.id, "failed")

    def finish() -> JobState:
        with store.begin() as tx:
            return tx.jobs.finish(job.id, {}, outcome="allow").state

    assert set(together(*[finish] * 4)) == {JobState.DONE}
    assert counts(store, run) == RunCounts(1, {"allow": 1})


def test_what_failed_is_tried_again(store: Store) -> None:
    run = opened(store)
    claimed(store)
    walked(store, run, "ab")
    one, two = taken(store), taken(store)
    assert one is not None
    assert two is not None
    with store.begin() as tx:
        tx.jobs.fail(one.id, {"type": "x"})
        tx.jobs.finish(two.id, {}, outcome="allow")
        assert tx.runs.retry_failed(run.id) == 1
        assert tx.runs.retry_failed(run.id) == 0
    assert counts(store, run) == RunCounts(2, {"allow": 1})
    again = taken(store)
    assert again is not None
    assert (again.id, again.attempts, again.problem) == (one.id, 1, None)


def test_many_workers_count_right(store: Store) -> None:
    run = opened(store)
    claimed(store)
    walked(store, run, "abcdefghijklmnopqrst")

    def work() -> None:
        while (job := taken(store)) is not None:
            with store.begin() as tx:
                tx.jobs.finish(
                    job.id, {}, outcome="block" if job.payload["path"] < "e" else "allow"
                )

    together(*[work] * 4)
    assert counts(store, run) == RunCounts(20, {"allow": 16, "block": 4})


def test_items_are_no_promises(store: Store) -> None:
    run = opened(store)
    claimed(store)
    walked(store, run, "abc")
    with store.read() as tx:
        assert sum(tx.jobs.counts().values()) == 0


def test_a_job_that_is_given_back_was_not_tried(store: Store) -> None:
    with store.begin() as tx:
        added = tx.jobs.add("match", "key_a", {})
    for _ in range(MAX_ATTEMPTS + 1):
        with store.begin() as tx:
            job = tx.jobs.claim("w", 60)
            assert job is not None
            assert not tx.jobs.release(added.id, "other")
            assert tx.jobs.release(added.id, "w")
            assert not tx.jobs.release(added.id, "w")


def test_a_cancelled_run_drops_what_waits(store: Store) -> None:
    run = opened(store)
    claimed(store)
    walked(store, run, "abcd")
    first, second = taken(store), taken(store)
    assert first is not None
    assert second is not None
    with store.begin() as tx:
        tx.jobs.finish(first.id, {"action": "allow"}, outcome="allow")
        tx.runs.cancel(run.id)
    assert counts(store, run) == RunCounts(2, {"allow": 1})
    assert walked(store, run, "e") is None  # the walker has lost it
    assert claimed(store) is None
    assert taken(store) is None
    with store.begin() as tx:
        tx.jobs.finish(second.id, {"action": "block"}, outcome="block")
        tx.runs.walk_again(run.id)
    assert counts(store, run) == RunCounts(2, {"allow": 1, "block": 1})
    assert claimed(store) is not None
    assert walked(store, run, "abcd") == 2
