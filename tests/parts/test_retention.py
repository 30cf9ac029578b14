"""What is old is deleted, in small transactions, by one process at a time; what a person has ruled
on or is to rule on stays, and so does all that matching needs."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from api import tasks
from api.metrics import Metrics
from api.purging import ENDED_JOBS, Housekeeper, Purge, due
from api.settings import Settings
from api.spool import KEEP_S, Spool
from hashdb.errors import Conflict, NotFound
from hashdb.model import Action, Reference, first_id, new_id, now
from hashdb.store import Store, Transaction
from hashdb.store.uploads import Past
from hashdb.tables import metadata, reviews
from tests.parts.store_samples import add, later, match, prints, record, together, verdict

FOR_GOOD = (
    "banks",
    "bank_references",
    "reference_fingerprints",
    "changes",
    "api_keys",
    "exchanges",
)


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=store_url)


@pytest.fixture
def reference(store: Store) -> Reference:
    with store.begin() as tx:
        return add(tx, tx.banks.create("attacks"), fingerprints=[prints()])


def judged(store: Store, *names: str, action: Action = Action.ALLOW, **more: object) -> None:
    with store.begin() as tx:
        for name in names:
            record(tx, name, verdict=verdict(name, action=action), fingerprints=[prints()], **more)


def ruled(tx: Transaction, upload_id: str) -> str:
    (review,) = tx.casework.reviews(upload_id=upload_id)[0]
    return tx.casework.decide(review.id, Action.BLOCK, None, "key_mod", "seen it").id


def ended(tx: Transaction, kind: str, name: str, *, fails: bool = False) -> str:
    job = tx.jobs.add(kind, "key_a", {"upload_id": name, "file": f"file-{name}"}, key=name)
    if fails:
        return tx.jobs.fail(job.id, {"type": "job-abandoned"}).id
    return tx.jobs.finish(job.id, {"action": "allow"}).id


def count(store: Store, *names: str) -> dict[str, int]:
    wanted = names or tuple(metadata.tables)
    with store._engine.connect() as raw:
        return {
            name: raw.scalar(select(func.count()).select_from(metadata.tables[name])) or 0
            for name in wanted
        }


def found(tx: Transaction, past: Past, reference: Reference) -> bool:
    """As a look-back records it."""
    shown = verdict(past.verdict.upload_id, match(reference), action=Action.BLOCK)
    return tx.found.record(past, shown, [reference.id], queue="look-back")


def kept_verdicts(store: Store, *names: str) -> list[str]:
    with store.read() as tx:
        return [name for name in names if tx.uploads.verdict("key_a", name) is not None]


def test_ids_tell_what_is_older_than_a_moment() -> None:
    before = now()
    time.sleep(0.002)
    made = [new_id("upl") for _ in range(3)]
    time.sleep(0.002)
    assert first_id("upl", before) < made[0]
    assert made[-1] < first_id("upl", now())
    assert sorted(made) == made


def test_each_kind_goes_when_it_is_older_than_its_setting(
    store: Store, settings: Settings, reference: Reference
) -> None:
    judged(store, "a", "b", "c")
    with store.begin() as tx:
        ended(tx, tasks.MATCH, "a")
        tx.audit.record("x", "y", "z")
    never = count(store, *FOR_GOOD)
    purge = Purge(store, replace(settings, keep_audit_days=400))
    assert purge.run(at=later(6.9)) == {"jobs": 0, "fingerprints": 0, "verdicts": 0, "audit": 0}
    assert purge.run(at=later(7.1)) == {"jobs": 1, "fingerprints": 0, "verdicts": 0, "audit": 0}
    assert count(store, "upload_fingerprints", "uploads") == {
        "upload_fingerprints": 3,
        "uploads": 3,
    }
    assert purge.run(at=later(30.1)) == {"jobs": 0, "fingerprints": 3, "verdicts": 0, "audit": 0}
    assert kept_verdicts(store, "a", "b", "c") == ["a", "b", "c"]
    assert purge.run(at=later(366)) == {"jobs": 0, "fingerprints": 0, "verdicts": 3, "audit": 0}
    assert count(store, "uploads", "verdicts", "upload_fingerprints") == {
        "uploads": 0,
        "verdicts": 0,
        "upload_fingerprints": 0,
    }
    before = count(store, "audit")["audit"]
    assert before == 4  # what was recorded here, and three purges that deleted something
    assert purge.run(at=later(401))["audit"] == 4  # type: ignore[index]
    assert count(store, *FOR_GOOD) == never


def test_what_is_kept_for_good_is_kept(store: Store, settings: Settings) -> None:
    judged(store, "a")
    with store.begin() as tx:
        ended(tx, tasks.MATCH, "a")
        tx.audit.record("x", "y", "z")
    kept = replace(settings, retention_days=0, keep_verdicts_days=0, keep_jobs_days=0)
    before = count(store)
    assert Purge(store, kept).run(at=later(36_000)) == {}
    assert due(store, kept, later(36_000)) == {}
    assert {**count(store), "leases": 0} == before


def test_young_ones_stay_beside_old_ones(store: Store, settings: Settings) -> None:
    judged(store, "old")
    with store.begin() as tx:
        ended(tx, tasks.MATCH, "old")
        tx.audit.record("x", "old", "z")
    time.sleep(0.005)
    middle = now()
    time.sleep(0.005)
    judged(store, "young")
    with store.begin() as tx:
        young = ended(tx, tasks.MATCH, "young")
        tx.audit.record("x", "young", "z")
    days = {"retention_days": 1, "keep_verdicts_days": 1, "keep_jobs_days": 1, "keep_audit_days": 1}
    removed = Purge(store, replace(settings, **days)).run(at=middle + timedelta(days=1))
    assert removed == {"jobs": 1, "fingerprints": 1, "verdicts": 1, "audit": 1}
    assert kept_verdicts(store, "old", "young") == ["young"]
    with store.read() as tx:
        assert tx.jobs.get(young).id == young
        assert [e.act for e in tx.audit.list()[0]] == ["purge", "young"]
        (row,) = tx.uploads.rows_since(middle, limit=9)
        assert len(tx.uploads.past(row).fingerprints) == 1


def test_what_waits_for_a_person_or_was_ruled_on_stays(
    store: Store, settings: Settings, reference: Reference
) -> None:
    shows = verdict("open", match(reference), action=Action.REVIEW)
    with store.begin() as tx:
        record(tx, "open", verdict=shows, fingerprints=[prints()])
    judged(store, "ruled", action=Action.REVIEW)
    judged(store, "found", "plain")
    with store.begin() as tx:
        decision = ruled(tx, "ruled")
        tx.casework.open_review_of("key_a", "found", queue="look-back")
    cases = count(store, "reviews", "decisions", "seen")
    assert Purge(store, settings).run(at=later(10_000)) == {
        "jobs": 0,
        "fingerprints": 4,
        "verdicts": 1,
    }
    assert kept_verdicts(store, "open", "ruled", "found", "plain") == ["open", "ruled", "found"]
    assert count(store, "reviews", "decisions", "seen") == cases
    with store.read() as tx:
        stays = tx.uploads.verdict("key_a", "open")
        assert stays is not None
        assert stays[0].matches[0].reference.id == reference.id
        assert tx.casework.decision_on("ruled", key_id="key_a").id == decision  # type: ignore[union-attr]


def test_a_dry_run_counts_what_a_run_deletes(store: Store, settings: Settings) -> None:
    judged(store, *(f"u{n}" for n in range(7)))
    judged(store, "waits", action=Action.REVIEW)
    with store.begin() as tx:
        for n in range(5):
            ended(tx, tasks.MATCH, f"u{n}", fails=n % 2 == 0)
        tx.jobs.add(tasks.MATCH, "key_a", {"file": "f"}, key="pending")
    everything = replace(settings, keep_audit_days=1)
    expected = {"jobs": 5, "fingerprints": 8, "verdicts": 7, "audit": 0}
    before = count(store)
    assert due(store, everything, later(500)) == expected
    assert count(store) == before
    told: list[tuple[str, int]] = []
    removed = Purge(store, everything, batch=2).run(
        lambda kind, n: told.append((kind, n)), at=later(500)
    )
    assert removed == expected
    assert max(n for _, n in told) == 2
    assert sum(n for kind, n in told if kind == "verdicts") == 7


def test_each_batch_is_a_transaction_of_its_own(store: Store, settings: Settings) -> None:
    """One that fails takes back itself alone, and the next purge goes on."""
    judged(store, *(f"u{n}" for n in range(9)))
    batches = 0

    def fails(kind: str, n: int) -> None:
        nonlocal batches
        batches += kind == "verdicts"
        if batches == 2:
            raise RuntimeError("told to stop")

    purge = Purge(store, settings, batch=3)
    with pytest.raises(RuntimeError, match="told to stop"):
        purge.run(fails, at=later(500))
    assert count(store, "uploads", "verdicts") == {"uploads": 3, "verdicts": 3}
    with store.read() as tx:
        (entry,) = tx.audit.list()[0]
    assert (entry.act, entry.detail["verdicts"]) == ("purge", 6)
    removed = Purge(store, settings).run(at=later(500), every_s=3600)
    assert removed == {"jobs": 0, "fingerprints": 0, "verdicts": 3}


def test_one_that_is_told_to_stop_lets_another_go_on(store: Store, settings: Settings) -> None:
    judged(store, *(f"u{n}" for n in range(9)))
    stop = threading.Event()
    stopped = Purge(store, settings, batch=2, stop=stop).run(
        lambda kind, n: stop.set(), at=later(500)
    )
    assert stopped == {"jobs": 0, "fingerprints": 0, "verdicts": 0}
    removed = Purge(store, settings).run(at=later(500), every_s=3600)
    assert removed == {"jobs": 0, "fingerprints": 9, "verdicts": 9}


def test_jobs_that_wait_or_run_and_items_of_an_archive_stay(
    store: Store, settings: Settings
) -> None:
    with store.begin() as tx:
        waits = tx.jobs.add(tasks.MATCH, "key_a", {"file": "f"}, key="waits").id
        backfill = tx.runs.open(tasks.BACKFILL, "s3://x", {})
        look_back = tx.runs.open(tasks.LOOK_BACK, "uploads since then", {})
        going_on = tx.runs.open(tasks.LOOK_BACK, "uploads since now", {})
        for _ in range(3):
            run = tx.runs.claim("w", 60, kinds=tasks.RUNS)
            assert run is not None
            tx.runs.advance(run, "w", None, [("one", {}), ("two", {})])
            if run.id != going_on.id:
                tx.runs.end_walk(run.id, "w")
        while (item := tx.jobs.claim("w", 60, kinds=tasks.RUNS)) is not None:
            tx.jobs.finish(item.id, {}, outcome="nothing")
    assert Purge(store, settings).run(at=later(100))["jobs"] == 4  # type: ignore[index]
    with store.read() as tx:
        assert tx.jobs.get(waits).id == waits
        assert len(tx.runs.items(backfill.id, "nothing")) == 2
        assert tx.runs.counts(backfill.id).listed == 2
        assert tx.runs.counts(look_back.id).listed == 0
        assert tx.runs.get(going_on.id).id == going_on.id  # its walk has not ended
        with pytest.raises(NotFound):
            tx.runs.get(look_back.id)


def test_files_that_failed_jobs_left_behind_go_with_them(store: Store, settings: Settings) -> None:
    spool = Spool(settings)
    names = [spool.keep(io.BytesIO(b"x")) for _ in range(2)]
    with store.begin() as tx:
        waits = tx.jobs.add(tasks.MATCH, "key_a", {"file": names[0]}, key="waits")
        gone = tx.jobs.add(tasks.MATCH, "key_a", {"file": names[1]}, key="fails")
        tx.jobs.fail(gone.id, {"type": "job-abandoned"})
    Purge(store, settings).run(at=later(100))
    assert [p.name for p in (settings.data_dir / "spool").iterdir()] == [waits.payload["file"]]


def test_the_sweep_leaves_files_that_jobs_wait_for(store: Store, settings: Settings) -> None:
    spool = Spool(settings)
    waits, ended_, lost, young = (spool.keep(io.BytesIO(b"x")) for _ in range(4))
    folder = settings.data_dir / "spool"
    for name in (waits, ended_, lost):
        os.utime(folder / name, (0, time.time() - KEEP_S - 60))
    with store.begin() as tx:
        tx.jobs.add(tasks.MATCH, "key_a", {"file": waits}, key="waits")
        done = tx.jobs.add(tasks.MATCH, "key_a", {"file": ended_}, key="done")
        tx.jobs.finish(done.id, {})

    def waiting(before: datetime) -> set[str]:
        assert before < now()
        with store.read() as tx:  # as if the job were as old as its file
            return tx.jobs.waiting_files(tasks.PROMISES, later(1))

    spool.sweep(waiting)
    assert {p.name for p in folder.iterdir()} == {waits, young}


def test_one_process_purges_at_a_time(store: Store, settings: Settings) -> None:
    judged(store, *(f"u{n}" for n in range(4)))
    began, go_on = threading.Event(), threading.Event()

    def holds(kind: str, n: int) -> None:
        began.set()
        assert go_on.wait(30)

    first = threading.Thread(target=lambda: Purge(store, settings).run(holds, at=later(500)))
    first.start()
    assert began.wait(30)
    with pytest.raises(Conflict, match="another process"):
        Purge(store, settings).run()
    assert Purge(store, settings).run(every_s=3600) is None
    go_on.set()
    first.join(30)
    assert kept_verdicts(store, "u0", "u1", "u2", "u3") == []
    assert Purge(store, settings).run(every_s=3600) is None  # it was done just now
    assert Purge(store, settings).run() is not None


def test_a_purge_that_lost_its_lease_stops(store: Store, settings: Settings) -> None:
    judged(store, *(f"u{n}" for n in range(4)))

    def loses(kind: str, n: int) -> None:
        with store.begin() as tx:
            tx.leases._connection.execute(delete(metadata.tables["leases"]))

    with pytest.raises(Conflict, match="another process"):
        Purge(store, settings, batch=1).run(loses, at=later(500))
    assert kept_verdicts(store, "u0", "u1", "u2", "u3") != []


def test_a_lease_runs_out_and_is_taken_over(store: Store) -> None:
    with store.begin() as tx:
        assert tx.leases.claim("purge", "a", -1.0)
        assert tx.leases.claim("purge", "b", 60.0)
        assert not tx.leases.extend("purge", "a", 60.0)
        assert not tx.leases.done("purge", "a", {})
        assert not tx.leases.claim("purge", "a", 60.0)
        assert tx.leases.report("purge") == {}
        assert tx.leases.done("purge", "b", {"stored": {"jobs": 1}})
        assert tx.leases.report("purge") == {"stored": {"jobs": 1}}
        assert not tx.leases.claim("purge", "a", 60.0, every_s=60.0)
        assert tx.leases.claim("purge", "a", 60.0)
        assert tx.leases.release("purge", "a")
        assert tx.leases.claim("purge", "c", 60.0)
    answers: list[bool] = []

    def claims(worker: str) -> Callable[[], bool]:
        def claim() -> bool:
            with store.begin() as tx:
                return tx.leases.claim("other", worker, 60.0)

        return claim

    answers = together(*(claims(f"w{n}") for n in range(8)))
    assert sorted(answers) == [False] * 7 + [True]


def test_reviews_that_are_opened_meanwhile_keep_their_verdicts(
    store: Store, settings: Settings, reference: Reference
) -> None:
    """Of an upload either both are there, or neither, whoever comes first."""
    names = [f"u{n}" for n in range(90)]
    judged(store, *names)
    with store.read() as tx:
        rows = tx.uploads.rows_since(later(-1), limit=100)

    def opens() -> int:
        n = 0
        for name in names[::-3]:
            try:
                with store.begin() as tx:
                    tx.casework.open_review_of("key_a", name)
                n += 1
            except NotFound:
                continue
        return n

    def finds() -> int:
        n = 0
        for row in rows[-2::-3]:
            try:
                with store.begin() as tx:
                    n += found(tx, tx.uploads.past(row), reference)
            except NotFound:
                continue
        return n

    def purges() -> dict[str, int] | None:
        return Purge(store, settings, batch=1).run(at=later(500))

    opened, seen_later, purged = together(opens, finds, purges)
    assert isinstance(opened, int), opened
    assert isinstance(seen_later, int), seen_later
    assert isinstance(purged, dict), purged
    with store._engine.connect() as raw:
        held = raw.scalar(select(func.count(func.distinct(reviews.c.verdict_id)))) or 0
    assert opened + seen_later == held
    assert purged["verdicts"] == 90 - held
    assert count(store, "verdicts", "uploads", "seen") == {
        "verdicts": held,
        "uploads": held,
        "seen": seen_later,
    }


@pytest.mark.parametrize("how", ["review", "found"])
def test_what_is_about_to_be_committed_is_not_purged(
    store: Store, settings: Settings, reference: Reference, how: str
) -> None:
    judged(store, "u", "other")
    answers: list[object] = []

    def purges() -> None:
        answers.extend(together(lambda: Purge(store, settings).run(at=later(500))))

    purging = threading.Thread(target=purges)
    with store.begin() as tx:
        if how == "review":
            tx.casework.open_review_of("key_a", "u")
        else:
            past = tx.uploads.past(tx.uploads.rows_since(later(-1), limit=1)[0])
            assert found(tx, past, reference)
        purging.start()
        purging.join(0.5)  # SQLite's waits for this transaction to end, PostgreSQL's does not
    purging.join(30)
    (removed,) = answers
    assert isinstance(removed, dict), removed
    assert removed["verdicts"] == 1
    assert kept_verdicts(store, "u", "other") == ["u"]


def test_what_a_look_back_finds_in_an_upload_that_is_gone_by_then_is_left(
    store: Store, settings: Settings, reference: Reference
) -> None:
    judged(store, "u")
    with store.read() as tx:
        past = tx.uploads.past(tx.uploads.rows_since(later(-1), limit=1)[0])
    Purge(store, settings).run(at=later(500))
    with store.begin() as tx:
        assert not found(tx, past, reference)
    assert count(store, "seen", "found_later") == {"seen": 0, "found_later": 0}


def test_the_housekeeper_purges_once_an_hour_and_tells(store: Store, settings: Settings) -> None:
    judged(store, "a")
    metrics = Metrics({})
    housekeeper = Housekeeper(store, settings, metrics)
    assert housekeeper.step() == {"jobs": 0, "fingerprints": 0, "verdicts": 0}
    assert housekeeper.step() is None
    with store.read() as tx:
        stored = tx.leases.report("purge")["stored"]
    assert stored == {"jobs": 0, "fingerprints": 1, "verdicts": 1, "audit": 0}
    housekeeper.start()
    housekeeper.stop()
    metrics.purged("jobs", 2)
    assert 'seawall_purged_total{kind="jobs"} 2.0' in metrics.text().decode()
    assert 'seawall_purged_total{kind="audit"} 0.0' in metrics.text().decode()


def test_the_metrics_name_every_kind() -> None:
    from api.metrics import PURGED
    from api.purging import rules

    days = {"keep_audit_days": 1, "data_dir": Path("x"), "database_url": "x"}
    assert tuple(r.kind for r in rules(Settings(**days))) == PURGED  # type: ignore[arg-type]
    assert set(ENDED_JOBS) | {tasks.BACKFILL, tasks.ENROLMENT} == set(tasks.TASKS)
