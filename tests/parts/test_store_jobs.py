"""Jobs, keys, the audit log and exchanges, on both engines."""

from __future__ import annotations

import time
from hashlib import sha256

import pytest
from sqlalchemy import select

from hashdb.errors import BadArgument, NotFound
from hashdb.model import Job, JobState, Role
from hashdb.store import Store
from hashdb.store.jobs import MAX_ATTEMPTS, again
from hashdb.tables import api_keys
from tests.parts.store_samples import together


def add(store: Store, kind: str = "match", **payload: object) -> Job:
    with store.begin() as tx:
        return tx.jobs.add(kind, "key_a", payload)


def claim(store: Store, worker: str = "w1", lease_s: float = 60, **other: object) -> Job | None:
    with store.begin() as tx:
        return tx.jobs.claim(worker, lease_s, **other)  # type: ignore[arg-type]


def test_a_jobs_way(store: Store) -> None:
    added = add(store, file="x", n=[1, None])
    assert (added.state, added.attempts, added.payload) == (
        JobState.PENDING,
        0,
        {"file": "x", "n": [1, None]},
    )
    with store.read() as tx:
        assert tx.jobs.get(added.id) == added
    running = claim(store)
    assert running is not None
    assert (running.id, running.state, running.attempts) == (added.id, JobState.RUNNING, 1)
    with store.begin() as tx:
        done = tx.jobs.finish(added.id, {"action": "block"})
        assert tx.jobs.get(added.id) == done
    assert (done.state, done.result, done.problem) == (JobState.DONE, {"action": "block"}, None)
    assert done.finished_at is not None
    assert claim(store) is None


def test_jobs_are_claimed_oldest_first_and_by_kind(store: Store) -> None:
    made = [add(store, kind) for kind in ("match", "hash", "match")]
    ids = sorted(job.id for job in made)
    hashing = claim(store, kinds=["hash"])
    assert hashing is not None
    assert hashing.id == made[1].id
    ids.remove(hashing.id)
    assert claim(store, kinds=["other"]) is None
    assert [job.id for job in (claim(store), claim(store)) if job] == ids
    assert claim(store) is None


def test_the_same_promise_is_made_once(store: Store) -> None:
    def promise(kind: str = "match", key_id: str = "key_a", key: str | None = "u1") -> str:
        with store.begin() as tx:
            return tx.jobs.add(kind, key_id, {}, key=key).id

    assert len(set(together(*[promise] * 5))) == 1
    others = {promise(), promise(kind="hash"), promise(key_id="key_b"), promise(key="u2")}
    assert len(others | {promise(key=None), promise(key=None)}) == 6


def test_an_upload_is_promised_until_its_last_job_has_ended(store: Store) -> None:
    key = "u1"
    for ended in (False, True):
        with store.begin() as tx:
            assert tx.jobs.promised("key_a", "u1") is None
            job = tx.jobs.add("match", "key_a", {"request_digest": "x"}, key=key)
            assert tx.jobs.promised("key_a", "u1") == job
            assert tx.jobs.promised("key_b", "u1") is None
            assert tx.jobs.promised("key_a", "u2") is None
            running = tx.jobs.claim("w", 60)
            assert tx.jobs.promised("key_a", "u1") == running
            if ended:
                tx.jobs.finish(job.id, {})
            else:
                tx.jobs.fail(job.id, {})
            assert tx.jobs.promised("key_a", "u1") is None
        key = again("u1", job)


def test_workers_never_share_a_job(store: Store) -> None:
    ids = {add(store, i=i).id for i in range(20)}

    def work(name: str) -> list[str]:
        taken = []
        while (job := claim(store, name)) is not None:
            taken.append(job.id)
            with store.begin() as tx:
                tx.jobs.finish(job.id, {"by": name})
        return taken

    answers = together(*[lambda n=n: work(n) for n in "abcd"])
    taken = [job for answer in answers for job in answer]
    assert len(taken) == 20
    assert set(taken) == ids


def test_a_worker_does_not_wait_for_another_ones_claim(postgres_url: str) -> None:
    """PostgreSQL only: SQLite's writers wait for each other anyway."""
    store = Store.open(postgres_url)
    add(store)
    add(store)
    with store.begin() as one, store.begin() as two:
        first, second = one.jobs.claim("a", 60), two.jobs.claim("b", 60)
        third = one.jobs.claim("a", 60)
    assert first is not None
    assert second is not None
    assert first.id != second.id
    assert third is None
    store.close()


def test_a_lease_that_ran_out_can_be_claimed_again(store: Store) -> None:
    job = add(store)
    assert claim(store, "w1", 0.05) is not None
    time.sleep(0.1)
    again = claim(store, "w2", 60)
    assert again is not None
    assert (again.id, again.attempts) == (job.id, 2)
    assert claim(store, "w3") is None
    with store.begin() as tx:
        assert not tx.jobs.extend(job.id, "w1", 60)
        assert tx.jobs.extend(job.id, "w2", 60)


def test_a_lease_is_prolonged(store: Store) -> None:
    job = add(store)
    claim(store, "w1", 0.2)
    with store.begin() as tx:
        assert tx.jobs.extend(job.id, "w1", 60)
    time.sleep(0.25)
    assert claim(store, "w2") is None
    with store.begin() as tx:
        tx.jobs.finish(job.id, {})
        assert not tx.jobs.extend(job.id, "w1", 60)


def test_a_job_that_kills_its_workers_is_given_up(store: Store) -> None:
    job = add(store)
    for _ in range(MAX_ATTEMPTS):
        assert claim(store, "w", -1) is not None
    next_job = add(store)
    claimed = claim(store)
    assert claimed is not None
    assert claimed.id == next_job.id
    with store.begin() as tx:
        failed = tx.jobs.get(job.id)
        assert (failed.state, failed.attempts) == (JobState.FAILED, MAX_ATTEMPTS)
        assert failed.problem is not None
        assert failed.problem["type"] == "job-abandoned"
        late = tx.jobs.finish(job.id, {"action": "allow"})
        assert (late.state, late.problem) == (JobState.DONE, None)


def test_the_first_outcome_stays(store: Store) -> None:
    one, two = add(store), add(store)
    with store.begin() as tx:
        tx.jobs.finish(one.id, {"n": 1})
        assert tx.jobs.finish(one.id, {"n": 2}).result == {"n": 1}
        assert tx.jobs.fail(one.id, {"type": "x"}).state is JobState.DONE
        assert tx.jobs.fail(two.id, {"type": "x"}).problem == {"type": "x"}
        assert tx.jobs.fail(two.id, {"type": "y"}).problem == {"type": "x"}
        for call in (tx.jobs.finish, tx.jobs.fail):
            with pytest.raises(NotFound):
                call("job_x", {})
        with pytest.raises(NotFound):
            tx.jobs.get("job_x")


def test_jobs_are_counted(store: Store) -> None:
    for _ in range(3):
        add(store)
    done = claim(store)
    assert done is not None
    claim(store)
    with store.begin() as tx:
        tx.jobs.finish(done.id, {})
        assert tx.jobs.counts() == {
            JobState.PENDING: 1,
            JobState.RUNNING: 1,
            JobState.DONE: 1,
            JobState.FAILED: 0,
        }


# Keys


def test_a_key_opens_until_it_is_revoked(store: Store) -> None:
    with store.begin() as tx:
        key, secret = tx.access.create(Role.PARTNER, "consortium")
        other, other_secret = tx.access.create(Role.ADMIN, "consortium")
    assert (key.role, key.name, key.revoked_at) == (Role.PARTNER, "consortium", None)
    assert secret != other_secret
    with store.read() as tx:
        assert tx.access.find(secret) == key
        assert tx.access.find(other_secret) == other
        assert tx.access.get(key.id) == key
        wrong = ("", "swk_", secret[:-1], secret + "x", secret.lower(), "\ud800", "\x00", key.id)
        assert [tx.access.find(text) for text in wrong] == [None] * len(wrong)
    with store.begin() as tx:
        revoked = tx.access.revoke(key.id)
        assert revoked.revoked_at is not None
        assert tx.access.find(secret) is None
        assert tx.access.revoke(key.id) == revoked
        assert tx.access.find(other_secret) == other
        assert sorted(k.id for k in tx.access.list()) == sorted([key.id, other.id])
        assert revoked in tx.access.list()
        for call in (tx.access.revoke, tx.access.get):
            with pytest.raises(NotFound):
                call("key_x")


def test_secrets_are_long_and_only_their_hashes_are_stored(store: Store) -> None:
    with store.begin() as tx:
        _, secret = tx.access.create(Role.PIPELINE, "p")
    assert secret.startswith("swk_")
    assert len(secret) == 4 + 43
    with store._engine.connect() as raw:
        row = raw.execute(select(api_keys)).mappings().one()
    assert row["secret_hash"] == sha256(secret.encode()).hexdigest()
    assert not any(secret[4:] in str(value) for value in row.values())


# The audit log


def test_the_audit_log(store: Store) -> None:
    with store.begin() as tx:
        tx.audit.record("key_a", "bank.create", "bank_1", {"name": "ü", "n": 1})
        tx.audit.record("cli", "reference.withdraw", "ref_1")
        tx.audit.record("key_a", "reference.withdraw", "ref_2")
    with store.read() as tx:
        entries, end = tx.audit.list()
        assert [(e.actor, e.act, e.subject) for e in entries] == [
            ("key_a", "reference.withdraw", "ref_2"),
            ("cli", "reference.withdraw", "ref_1"),
            ("key_a", "bank.create", "bank_1"),
        ]
        assert end is None
        assert entries[2].detail == {"name": "ü", "n": 1}
        assert entries[1].detail == {}
        some, after = tx.audit.list(limit=2)
        assert some + tx.audit.list(limit=2, after=after)[0] == entries
        assert tx.audit.list(actor="cli")[0] == entries[1:2]
        assert tx.audit.list(subject="bank_1")[0] == entries[2:]
        for cursor in ("x", "-1", "", "٣", "9" * 40):
            with pytest.raises(BadArgument):
                tx.audit.list(after=cursor)


# Exchanges


def test_an_exchange_goes_on_where_it_stopped(store: Store) -> None:
    with store.begin() as tx:
        bank, other = tx.banks.create("partner"), tx.banks.create("other")
        made = tx.exchanges.ensure("https://a.example", bank.id)
        assert (made.checkpoint, made.synced_at) == (None, None)
        second = tx.exchanges.ensure("https://a.example", other.id)
        advanced = tx.exchanges.advance(made.id, "17")
        assert (advanced.checkpoint, advanced.id) == ("17", made.id)
        assert advanced.synced_at is not None
        assert tx.exchanges.ensure("https://a.example", bank.id) == advanced
        assert sorted(tx.exchanges.list(), key=lambda e: e.id) == sorted(
            [advanced, second], key=lambda e: e.id
        )
        with pytest.raises(NotFound):
            tx.exchanges.advance("exc_x", "1")
        with pytest.raises(NotFound):
            tx.exchanges.ensure("https://a.example", "bank_x")


def test_an_exchange_is_made_once(store: Store) -> None:
    with store.begin() as tx:
        bank = tx.banks.create("partner")

    def ensure() -> str:
        with store.begin() as tx:
            return tx.exchanges.ensure("https://a.example", bank.id).id

    assert len(set(together(*[ensure] * 5))) == 1
