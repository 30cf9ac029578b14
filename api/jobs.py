"""Promises: uploads that were taken with `Prefer: respond-async` and are judged afterwards.

The body lies in `<data_dir>/spool`, flushed to the disk, and the job is committed before the
promise is given, so a killed process breaks none: whichever process runs next takes the job up
when its lease has run out. Server processes that share a database share the data directory too.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from api import hashes, render, schemas
from api.metrics import Metrics
from api.parts import Parts
from api.problems import problem
from api.uploads import store_durably
from hashdb.errors import (
    BadMedia,
    Conflict,
    DatabaseUnavailable,
    Invalid,
    NotFound,
    SeawallError,
    Unavailable,
    UploadConflict,
)
from hashdb.model import Classification, Digests, Job, JobState, Key, Verdict, new_id, now

log = logging.getLogger("seawall.jobs")

KIND = "match"
MEDIA, HASHES = "media", "hashes"  # what a promise's body holds
LEASE_S = 15.0
POLL_S = 1.0
KEEP_SPOOL_S = 7 * 24 * 3600.0

# Errors that another attempt would meet again: the job ends with them.
FINAL = (BadMedia, Invalid, Conflict)


def classifications_of(
    sent: Sequence[schemas.ClassificationIn],
) -> tuple[Classification, ...]:
    return tuple(Classification(c.label, c.score, "caller") for c in sent)


def promise(
    parts: Parts,
    key: Key,
    body: BinaryIO,
    *,
    holds: str,
    upload_id: str,
    request_digest: str,
    rest: Mapping[str, Any],
) -> Job:
    """A job that will judge the body; the same one for the same upload, unless that has failed.

    Raises `UploadConflict` where that `upload_id` was judged or promised with another content.
    """
    folder = spool(parts)
    name = store_durably(body, folder)
    payload = {
        "upload_id": upload_id,
        "request_digest": request_digest,
        "file": name,
        "holds": holds,
        **rest,
    }
    try:
        with parts.store.begin() as tx:
            judged = tx.uploads.verdict(key.id, upload_id)
            if judged is not None:
                _same(upload_id, judged[1], request_digest)
            job = tx.jobs.add(KIND, key.id, payload, key=upload_id)
            while job.state is JobState.FAILED:
                # It holds its name for good, so the next one's name is made of its id; an
                # upload_id holds no line break.
                job = tx.jobs.add(KIND, key.id, payload, key=f"{upload_id}\n{job.id}")
            _same(upload_id, job.payload["request_digest"], request_digest)
    except SeawallError:
        (folder / name).unlink(missing_ok=True)
        raise
    if job.payload["file"] != name:
        (folder / name).unlink(missing_ok=True)
    return job


def _same(upload_id: str, before: str, sent: str) -> None:
    if before != sent:
        raise UploadConflict(f"upload_id {upload_id!r} was used with other content")


def spool(parts: Parts) -> Path:
    return parts.settings.data_dir / "spool"


def run(parts: Parts, job: Job) -> Verdict:
    """Judge what a job promised. Raises what `Checker` raises, `Unavailable` without the body."""
    payload = job.payload
    try:
        body = (spool(parts) / payload["file"]).open("rb")
    except FileNotFoundError:
        raise Unavailable("the promised upload's file is gone") from None
    with body:
        if payload["holds"] == HASHES:
            asked = schemas.MatchHashes.model_validate_json(body.read())
            return check_hashes(parts, job.key_id, payload["upload_id"], asked)
        sent = [schemas.ClassificationIn(**c) for c in payload["classifications"]]
        return parts.checker.check_media(
            job.key_id,
            payload["upload_id"],
            body,
            Digests(payload["sha256"], payload["md5"]),
            classifications=classifications_of(sent),
            metadata=payload["metadata"],
            suspicious=payload.get("suspicious", False),
        )


def check_hashes(parts: Parts, key_id: str, upload_id: str, asked: schemas.MatchHashes) -> Verdict:
    """Judge an upload that the caller hashed."""
    return parts.checker.check_hashes(
        key_id,
        upload_id,
        hashes.digests_of(asked),
        hashes.fingerprints_of(parts, asked),
        request_digest=hashes.request_digest(asked),
        kind=asked.kind,
        duration_s=asked.duration,
        classifications=classifications_of(asked.classifications),
        metadata=asked.metadata,
    )


class Runner:
    """Threads that take jobs up, one at a time each. `start` it after the process has forked."""

    def __init__(
        self,
        parts: Parts,
        metrics: Metrics,
        *,
        threads: int = 1,
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
    ):
        self._parts = parts
        self._metrics = metrics
        self._count = threads
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._pid = 0

    def start(self) -> None:
        """Start the threads, once in each process."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._stop.clear()
            self._sweep()
            self._threads = [
                threading.Thread(target=self._work, name=f"seawall-job-{i}", daemon=True)
                for i in range(self._count)
            ]
            for thread in self._threads:
                thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Take no further job. One that is under way is finished, or taken up by the next."""
        self._stop.set()
        self.wake()
        for thread in self._threads:
            thread.join(timeout_s)
        self._pid = 0

    def wake(self) -> None:
        """Look for jobs now."""
        self._woken.set()

    def _work(self) -> None:
        worker = new_id("worker")
        away = False
        while not self._stop.is_set():
            try:
                found = self.step(worker)
                away = False
            except DatabaseUnavailable as e:
                if not away:  # once for an outage
                    log.warning("jobs cannot be taken up: %s", e)
                found, away = False, True
            except Exception:
                log.exception("jobs cannot be taken up")
                found = False
            if not found and not self._stop.is_set():
                self._woken.wait(self._poll_s)
                self._woken.clear()

    def step(self, worker: str) -> bool:
        """Take up one job and do it; False where there was none."""
        with self._parts.store.begin() as tx:
            job = tx.jobs.claim(worker, self._lease_s, kinds=[KIND])
        if job is None:
            return False
        log.info("job %s begins, attempt %d", job.id, job.attempts)
        with self._kept(job, worker):
            self._do(job)
        return True

    def _do(self, job: Job) -> None:
        began = now()
        try:
            verdict = run(self._parts, job)
        except FINAL as e:
            with self._parts.store.begin() as tx:
                tx.jobs.fail(job.id, problem(e))
            log.info("job %s failed: %s", job.id, e)
        except Unavailable as e:
            # Its lease runs out, and it is tried again, until the store says it was enough.
            log.warning("job %s was not done: %s", job.id, e)
            return
        except Exception:
            log.exception("job %s was not done", job.id)
            return
        else:
            with self._parts.store.begin() as tx:
                tx.jobs.finish(job.id, render.verdict_json(verdict))
            self._metrics.verdict(verdict, since=began)
            log.info("job %s done: upload %s, %s", job.id, verdict.upload_id, verdict.action)
        (spool(self._parts) / job.payload["file"]).unlink(missing_ok=True)

    @contextmanager
    def _kept(self, job: Job, worker: str) -> Iterator[None]:
        """The lease extended for as long as the work goes on."""
        done = threading.Event()

        def extend() -> None:
            while not done.wait(self._lease_s / 3):
                try:
                    with self._parts.store.begin() as tx:
                        tx.jobs.extend(job.id, worker, self._lease_s)
                except (Unavailable, NotFound, Conflict) as e:
                    log.warning("the lease of job %s was not extended: %s", job.id, e)

        keeper = threading.Thread(target=extend, name="seawall-lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def _sweep(self) -> None:
        """Drop bodies that a crash left behind without a job."""
        oldest = time.time() - KEEP_SPOOL_S
        for path in spool(self._parts).glob("*"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
            except FileNotFoundError:
                continue
