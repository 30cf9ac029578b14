"""Promises, and the threads that keep them.

What was taken with `Prefer: respond-async` lies in the spool, and its job is committed before the
promise is given, so a killed process breaks none: whichever process runs next, on whatever machine
that shares the database and the spool, takes the job up when its lease has run out.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from api import tasks
from api.leases import kept
from api.metrics import Metrics
from api.names import printable
from api.parts import Parts
from api.problems import problem
from api.spool import Spool
from api.tasks import Done
from hashdb.errors import (
    BadMedia,
    Conflict,
    DatabaseUnavailable,
    Denied,
    Invalid,
    NotFound,
    SeawallError,
    Unavailable,
    UploadConflict,
)
from hashdb.model import Job, JobState, Key, new_id, now
from hashdb.store.jobs import MAX_ATTEMPTS, again

log = logging.getLogger("seawall.jobs")

LEASE_S = 15.0
POLL_S = 1.0
STOP_S = 5.0
"""For how long a process that is told to stop lets the jobs in its hands come to an end."""

# Errors that another attempt would meet again: the job ends with them.
FINAL = (BadMedia, Invalid, Conflict, Denied, NotFound)


def promise_verdict(
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
    spool = Spool(parts.settings)
    name = spool.keep(body)
    payload = {
        "upload_id": upload_id,
        "request_digest": request_digest,
        "file": name,
        "holds": holds,
        **rest,
    }
    try:
        with parts.store.begin() as tx:
            tx.uploads.hold(key.id, upload_id)
            judged = tx.uploads.verdict(key.id, upload_id)
            if judged is not None:
                _same(upload_id, judged[1], request_digest)
            job = tx.jobs.add(tasks.MATCH, key.id, payload, key=upload_id)
            while job.state is JobState.FAILED:
                job = tx.jobs.add(tasks.MATCH, key.id, payload, key=again(upload_id, job))
            _same(upload_id, job.payload["request_digest"], request_digest)
    except SeawallError:
        spool.drop(name)
        raise
    if job.payload["file"] != name:
        spool.drop(name)
    return job


def promise_reference(parts: Parts, key: Key, body: BinaryIO, payload: Mapping[str, Any]) -> Job:
    """A job that will put the body into a bank. Enrolled twice, it is one reference."""
    spool = Spool(parts.settings)
    name = spool.keep(body)
    try:
        with parts.store.begin() as tx:
            return tx.jobs.add(tasks.ENROL, key.id, {"file": name, **payload})
    except SeawallError:
        spool.drop(name)
        raise


def _same(upload_id: str, before: str, sent: str) -> None:
    if before != sent:
        raise UploadConflict(f"upload_id {upload_id!r} was used with other content")


class Runner:
    """Threads that take jobs up, one at a time each. `start` it after the process has forked.

    `kinds`: what it does; of the first kinds whatever waits, before any of the next.
    """

    def __init__(
        self,
        parts: Parts,
        metrics: Metrics | None = None,
        *,
        threads: int = 1,
        kinds: Sequence[Sequence[str]] = (tasks.PROMISES, tasks.RUNS),
        lease_s: float = LEASE_S,
        poll_s: float = POLL_S,
    ):
        self._parts = parts
        self._metrics = metrics
        self._count = threads
        self._kinds = kinds
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._stop = threading.Event()
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._in_hand: dict[str, str] = {}  # workers and their jobs
        self._pid = 0

    def start(self) -> None:
        """Start the threads, once in each process."""
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._stop.clear()
            self._threads = [
                threading.Thread(target=self._work, name=f"seawall-job-{i}", daemon=True)
                for i in range(self._count)
            ]
            for thread in self._threads:
                thread.start()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Take no further job; finish those in hand, or give them back for others to take up."""
        self._stop.set()
        self.wake()
        until = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        for worker, job_id in list(self._in_hand.items()):
            try:
                with self._parts.store.begin() as tx:
                    tx.jobs.release(job_id, worker)
            except SeawallError as e:  # its lease runs out
                log.warning("job %s was not given back: %s", job_id, e)
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
        job = self._claim(worker)
        if job is None:
            return False
        log.info("job %s (%s) begins, attempt %d", job.id, job.kind, job.attempts)
        self._in_hand[worker] = job.id
        try:
            with kept(f"job {job.id}", lambda: self._extend(job, worker), self._lease_s):
                self._do(job)
        finally:
            del self._in_hand[worker]
        return True

    def _claim(self, worker: str) -> Job | None:
        for kinds in self._kinds:
            with self._parts.store.begin() as tx:
                job = tx.jobs.claim(worker, self._lease_s, kinds=kinds)
            if job is not None:
                return job
        return None

    def _extend(self, job: Job, worker: str) -> None:
        with self._parts.store.begin() as tx:
            tx.jobs.extend(job.id, worker, self._lease_s)

    def _do(self, job: Job) -> None:
        began = now()
        try:
            done = tasks.TASKS[job.kind](self._parts, job)
        except FINAL as e:
            with self._parts.store.begin() as tx:
                tx.jobs.fail(job.id, problem(e))
            log.info("job %s failed: %s", job.id, e)
        except Unavailable as e:
            log.warning("job %s was not done: %s", job.id, e)
            if job.run_id is None or job.attempts < MAX_ATTEMPTS:
                return  # its lease runs out, and it is tried again
            with self._parts.store.begin() as tx:  # nobody but the operator reads the reason
                tx.jobs.fail(job.id, {**problem(e), "detail": printable(str(e))})
        except Exception:
            log.exception("job %s was not done", job.id)
            return
        else:
            self._end(job, done)
            if self._metrics is not None and done.verdict is not None:
                self._metrics.verdict(done.verdict, since=began)
        if "file" in job.payload:
            Spool(self._parts.settings).drop(job.payload["file"])

    def _end(self, job: Job, done: Done) -> None:
        outcome = None if job.run_id is None else done.outcome
        with self._parts.store.begin() as tx:
            tx.jobs.finish(job.id, done.result, outcome=outcome)
        log.info("job %s done: %s", job.id, done.outcome)
