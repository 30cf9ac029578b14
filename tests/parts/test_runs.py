"""Runs: archives walked and judged, enrolled, and past uploads looked at again."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from api import archive as archives
from api import tasks
from api.jobs import Runner
from api.routes.health import png
from api.settings import Settings
from api.walks import WALKS, Page, Walker
from hashdb.errors import Unavailable
from hashdb.model import Action, Digests, Run, RunCounts
from matcher.digest import digest_file
from tests.archives import Files, archive_of, s3_server
from tests.fakes import FakeSandbox, ServiceParts, build
from tests.runs import begun, counts, done, items


@pytest.fixture(scope="module")
def s3() -> Iterator[Mapping[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture(params=["folder", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    s3 = request.getfixturevalue("s3") if request.param == "s3" else None
    with archive_of(request.param, tmp_path, s3) as made:
        yield made


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=store_url, max_upload_mb=1)


@pytest.fixture
def parts(settings: Settings) -> Iterator[ServiceParts]:
    made = build(settings)
    yield made
    made.close()


def again(parts: ServiceParts, run: Run) -> Run:
    with parts.store.begin() as tx:
        tx.runs.walk_again(run.id)
        return tx.runs.get(run.id)


def banned(parts: ServiceParts, data: bytes, action: Action = Action.BLOCK) -> str:
    with parts.store.begin() as tx:
        bank = tx.banks.create(f"bank-{action}", action=action)
    media = io.BytesIO(data)
    reference, _ = parts.enroller.add_media(bank, media, digest_file(media), actor="test")
    return reference.id


def test_an_archive_is_judged(parts: ServiceParts, files: Files) -> None:
    reference = banned(parts, png(64))
    files.put({"bad.png": png(64), "good.png": png(65), "a/b.png": png(66), "torn.png": b"text"})
    files.put({"empty.png": b"", "large.png": png(64) + b"x" * (1 << 20)})
    run = begun(parts, files)
    assert done(parts, run) == RunCounts(6, {"allow": 2, "block": 1, "failed": 3})
    (found,) = items(parts, run, "block")
    assert found.payload["path"].endswith("/bad.png")
    assert found.result is not None
    upload_id = found.result["upload_id"]
    with parts.store.read() as tx:
        (verdict,) = tx.uploads.verdicts_by_upload(upload_id)
        assert [m.reference.id for m in verdict.matches] == [reference]
        assert [name for name, _ in tx.uploads.seen(reference)] == [upload_id]
        assert tx.runs.get(run.id).walked
    why = {j.payload["path"].rpartition("/")[2]: j.problem for j in items(parts, run, "failed")}
    assert {name: p["type"] for name, p in why.items() if p} == {
        "torn.png": "/problems/corrupt-media",
        "empty.png": "/problems/empty-media",
        "large.png": "/problems/media-too-large",
    }
    for job in items(parts, run, "failed"):  # nobody judged them: there is no verdict, no `allow`
        with parts.store.read() as tx:
            assert tx.uploads.verdict(tasks.BACKFILL_KEY, job.payload["upload_id"]) is None
    assert not list((parts.settings.data_dir / "tmp").glob("*"))


def test_a_review_is_opened_as_the_policy_says(parts: ServiceParts, files: Files) -> None:
    banned(parts, png(64), Action.REVIEW)
    files.put({"a.png": png(64)})
    run = begun(parts, files)
    assert done(parts, run) == RunCounts(1, {"review": 1})
    with parts.store.read() as tx:
        ((review, *others), _) = tx.casework.reviews()
    assert others == []
    (found,) = items(parts, run, "review")
    assert review.upload_id == found.payload["upload_id"]


def test_run_again_it_does_what_is_new(settings: Settings, files: Files) -> None:
    sandbox = FakeSandbox()
    parts = build(settings, sandbox)
    files.put({"a.png": png(64), "b.png": png(65)})
    run = begun(parts, files)
    assert done(parts, run) == RunCounts(2, {"allow": 2})
    again(parts, run)
    assert done(parts, run) == RunCounts(2, {"allow": 2})
    assert sandbox.calls == 2
    files.put({"a.png": png(66), "c.png": png(67)})
    again(parts, run)
    assert done(parts, run) == RunCounts(4, {"allow": 4})
    assert sandbox.calls == 4
    parts.close()


def test_what_failed_is_tried_again_when_asked(parts: ServiceParts, files: Files) -> None:
    files.put({"a.png": b"text", "b.png": png(65)})
    run = begun(parts, files)
    assert done(parts, run) == RunCounts(2, {"allow": 1, "failed": 1})
    files.put({"a.png": png(64)})
    again(parts, run)
    with parts.store.begin() as tx:
        tx.runs.retry_failed(run.id)
    # the old bytes are gone: that they were never judged stays on record
    assert done(parts, run) == RunCounts(3, {"allow": 2, "failed": 1})


def test_objects_go_into_a_bank(parts: ServiceParts, files: Files) -> None:
    files.put({"a.png": png(64), "b.png": png(65), "same-as-b.png": png(65)})
    with parts.store.begin() as tx:
        bank = tx.banks.create("attacks")
        url = tasks.archive(parts.settings, files.url).url
        options = {"archive": url, "bank": bank.id, "actor": "cli"}
        run = tx.runs.open(tasks.ENROLMENT, f"{url} into {bank.id}", options)
    assert done(parts, run) == RunCounts(3, {"added": 2, "known": 1})
    with parts.store.read() as tx:
        references, _ = tx.banks.references(bank="attacks")
    assert {r.digests.sha256 for r in references} == {
        sha256(png(side)).hexdigest() for side in (64, 65)
    }


def test_a_walk_stays_so_far_ahead_and_no_further(
    parts: ServiceParts, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "PAGE", 5)
    files.put({f"{n:03d}.png": png(64) for n in range(60)})
    run = begun(parts, files)
    walker = Walker(parts.store, parts.settings, in_hand=10, poll_s=0.01)
    walking = threading.Thread(target=walker.step, args=("w",))
    walking.start()
    runner, most = Runner(parts), 0
    while not (counts(parts.store, run).in_hand == 0 and not walking.is_alive()):
        most = max(most, counts(parts.store, run).in_hand)
        runner.step("r")
    walking.join()
    assert counts(parts.store, run) == RunCounts(60, {"allow": 60})
    assert 5 < most <= 14  # a page is added when fewer than 10 wait


def test_a_walk_goes_on_where_another_was_cut_off(
    parts: ServiceParts, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "PAGE", 4)
    files.put({f"{n:02d}.png": png(64 + n) for n in range(20)})
    run = begun(parts, files)
    walk, begun_at = WALKS[tasks.BACKFILL], []

    def breaks_off(store: Any, settings: Any, run: Run) -> Iterator[Page]:
        begun_at.append(run.cursor)
        for n, page in enumerate(walk(store, settings, run)):
            if n == 2:
                raise Unavailable("the archive is away")
            yield page

    monkeypatch.setattr("api.walks.WALKS", {tasks.BACKFILL: breaks_off})
    walker = Walker(parts.store, parts.settings, lease_s=3, poll_s=0.01)
    with pytest.raises(Unavailable):
        walker.step("w1")
    assert counts(parts.store, run).listed == 8
    assert not walker.step("w2")  # others have their turn first
    time.sleep(3.2)
    monkeypatch.setattr("api.walks.WALKS", {tasks.BACKFILL: walk})
    assert walker.step("w2")
    assert counts(parts.store, run).listed == 20
    with parts.store.read() as tx:
        cursor = tx.runs.get(run.id).cursor
    assert (cursor is not None) == files.url.startswith("s3")
    assert done(parts, run) == RunCounts(20, {"allow": 20})


def test_a_walk_keeps_to_its_rate(parts: ServiceParts, files: Files) -> None:
    files.put({f"{n:03d}.png": png(64) for n in range(30)})
    run = begun(parts, files, rate=10)
    walker = Walker(parts.store, parts.settings, poll_s=0.01)
    stamps: list[tuple[float, int]] = []
    walking = threading.Thread(target=walker.step, args=("w",))
    began = time.monotonic()
    walking.start()
    while walking.is_alive():
        listed = counts(parts.store, run).listed  # read first: a slow reading only helps it
        stamps.append((time.monotonic() - began, listed))
        time.sleep(0.02)
    assert counts(parts.store, run).listed == 30
    assert all(n <= 10 * (at + 1.1) for at, n in stamps), stamps


def test_workers_that_are_told_to_stop_give_back_what_they_cannot_finish(
    settings: Settings, files: Files
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        go_on.wait(30)

    parts = build(settings, FakeSandbox(wait))
    files.put({"a.png": png(64)})
    run = begun(parts, files)
    Walker(parts.store, parts.settings).step("w")
    runner = Runner(parts, poll_s=0.01)
    runner.start()
    assert began.wait(15)
    runner.stop(timeout_s=0.1)
    with parts.store.begin() as tx:
        taken = tx.jobs.claim("other", 60, kinds=tasks.RUNS)
        assert taken is not None
        assert taken.attempts == 1
        tx.jobs.finish(taken.id, {"action": "allow"}, outcome="allow")
    go_on.set()
    time.sleep(0.5)  # the first one comes in after all, and is not counted again
    assert counts(parts.store, run) == RunCounts(1, {"allow": 1})
    parts.close()


def looked_back(parts: ServiceParts) -> Run:
    since = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    with parts.store.begin() as tx:
        subject = f"uploads since {since}, change {tx.changes.head()}"
        return tx.runs.open(tasks.LOOK_BACK, subject, {"since": since})


def test_past_uploads_are_looked_at_again(parts: ServiceParts, monkeypatch: Any) -> None:
    monkeypatch.setattr("api.walks.UPLOADS", 2)
    for n in range(5):
        media = io.BytesIO(png(64 + n))
        verdict = parts.checker.check_media("key_a", f"u{n}", media, digest_file(media))
        assert verdict.action is Action.ALLOW
    nothing = looked_back(parts)
    assert done(parts, nothing) == RunCounts(3, {"nothing": 3})
    reference = banned(parts, png(66))
    run = looked_back(parts)
    assert run.id != nothing.id
    assert done(parts, run) == RunCounts(3, {"found": 1, "nothing": 2})
    (found,) = items(parts, run, "found")
    expected = {"upload_id": "u2", "action": "block", "references": [reference]}
    assert found.result == {"found": [expected]}
    with parts.store.read() as tx:
        assert [name for name, _ in tx.uploads.seen(reference)] == ["u2"]
        ((review,), _) = tx.casework.reviews(queue="look-back")
        (told,) = [e for e in tx.audit.list()[0] if e.actor == "look-back"]
        (stays,) = tx.uploads.verdicts_by_upload("u2")
    assert review.upload_id == told.subject == "u2"
    assert stays.action is Action.ALLOW
    with parts.store.begin() as tx:  # done twice, it has its effect once
        tx.jobs.add("look-back", "again", dict(found.payload))
    assert Runner(parts).step("w")
    with parts.store.read() as tx:
        assert len(tx.casework.reviews(queue="look-back")[0]) == 1
        assert len([e for e in tx.audit.list()[0] if e.actor == "look-back"]) == 1


def test_an_upload_that_was_blocked_before_is_not_found_again(parts: ServiceParts) -> None:
    banned(parts, png(64))
    media = io.BytesIO(png(64))
    assert parts.checker.check_media("k", "u", media, digest_file(media)).action is Action.BLOCK
    assert done(parts, looked_back(parts)) == RunCounts(1, {"nothing": 1})


def test_uploads_that_were_purged_since_they_were_listed_are_passed_over(
    parts: ServiceParts,
) -> None:
    for n in range(3):
        media = io.BytesIO(png(64 + n))
        parts.checker.check_media("k", f"u{n}", media, digest_file(media))
    banned(parts, png(66))
    run = looked_back(parts)
    Walker(parts.store, parts.settings, poll_s=0.01).step("w")
    with parts.store.begin() as tx:
        tx.retention.erase("u0", None, kind=tasks.MATCH)
    assert done(parts, run).ended == {"found": 1}


def test_an_upload_of_digests_alone_is_found_by_them(parts: ServiceParts) -> None:
    digest = sha256(png(64)).hexdigest()
    parts.checker.check_hashes("k", "u", Digests(sha256=digest), (), request_digest="x")
    banned(parts, png(64))
    assert done(parts, looked_back(parts)).ended == {"found": 1}


def test_a_spool_may_be_a_bucket(settings: Settings, s3: Mapping[str, str], tmp_path: Path) -> None:
    from api.spool import Spool

    with archive_of("s3", tmp_path, s3) as bucket:
        spool = Spool(replace(settings, spool=bucket.url))
        name = spool.keep(io.BytesIO(b"promised"))
        with spool.opened(name) as body:
            assert body.read() == b"promised"
        spool.sweep(lambda before: set())
        spool.drop(name)
        with pytest.raises(Unavailable), spool.opened(name):
            pass
        spool.drop(name)
