"""Work that was promised to a caller and outlives the process that took it.

A worker claims a job for the time of a lease, and prolongs the lease while it works. A worker
that dies lets the lease run out: then another may claim the job.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from hashdb.errors import NotFound
from hashdb.model import Job, JobState, first_id, new_id, now
from hashdb.store import rows
from hashdb.store.prepared import Prepared
from hashdb.store.runs import FAILED, Runs
from hashdb.tables import jobs

MATCH = "match"
"""The kind of a job that promises a verdict; its key is the upload's id."""
MAX_ATTEMPTS = 3
ABANDONED = {
    "type": "job-abandoned",
    "title": "The job was given up",
    "detail": f"{MAX_ATTEMPTS} workers took the job and none finished it",
}

# Made once: this is asked for every upload.
_BY_KEY = Prepared(
    select(jobs).where(
        jobs.c.key_id == bindparam("key_id"),
        jobs.c.kind == bindparam("kind"),
        jobs.c.dedup_key == bindparam("key"),
    )
)


def again(key: str, failed: Job) -> str:
    """The key of the job that tries again what one of `key` failed at, which holds its own for
    good. A key holds no line break."""
    return f"{key}\n{failed.id}"


class Jobs:
    def __init__(self, connection: Connection, runs: Runs) -> None:
        self._connection = connection
        self._runs = runs

    def add(
        self, kind: str, key_id: str, payload: Mapping[str, Any], *, key: str | None = None
    ) -> Job:
        """A new job. With `key` (such as an upload id): the job that the same API key added
        before for the same kind and `key`, where there is one, whatever its payload."""
        made = Job(new_id("job"), kind, key_id, dict(payload), JobState.PENDING, 0, now())
        values = {
            "id": made.id,
            "kind": kind,
            "key_id": key_id,
            "dedup_key": key,
            "payload": made.payload,
            "state": made.state.value,
            "attempts": 0,
            "created_at": made.created_at,
        }
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(jobs), values)
        except IntegrityError:
            same = and_(jobs.c.key_id == key_id, jobs.c.kind == kind, jobs.c.dedup_key == key)
            row = self._connection.execute(select(jobs).where(same)).mappings().first()
            if row is None:
                raise
            return rows.job(row)
        return made

    def get(self, job_id: str) -> Job:
        """The job; `NotFound` where there is none."""
        row = self._connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().first()
        if row is None:
            raise NotFound(f"there is no job {job_id!r}")
        return rows.job(row)

    def promised(self, key_id: str, upload_id: str) -> Job | None:
        """The job that is to judge that upload and has not ended; None where there is none."""
        key = upload_id
        while True:
            values = {"key_id": key_id, "kind": MATCH, "key": key}
            row = _BY_KEY.first(self._connection, values)
            if row is None:
                return None
            job = rows.job(row)
            if job.state is not JobState.FAILED:
                return None if job.state is JobState.DONE else job
            key = again(upload_id, job)

    def waiting_files(self, kinds: Collection[str], before: datetime) -> set[str]:
        """The spooled files of jobs of these kinds that were promised before that moment and have
        not ended."""
        open_states = [s.value for s in (JobState.PENDING, JobState.RUNNING)]
        query = select(jobs.c.payload["file"].as_string()).where(jobs.c.state.in_(open_states))
        query = query.where(jobs.c.kind.in_(kinds), jobs.c.id < first_id("job", before))
        return {name for name in self._connection.scalars(query) if name}

    def counts(self) -> dict[JobState, int]:
        """How many jobs there are in each state, beside the items of runs."""
        query = select(jobs.c.state, func.count()).where(jobs.c.run_id.is_(None))
        query = query.group_by(jobs.c.state)
        found = {JobState(row[0]): int(row[1]) for row in self._connection.execute(query)}
        return {state: found.get(state, 0) for state in JobState}

    def claim(
        self, worker: str, lease_s: float, *, kinds: Collection[str] | None = None
    ) -> Job | None:
        """The oldest job that waits, or whose lease ran out, for `lease_s` seconds; None where
        there is none. One that was claimed `MAX_ATTEMPTS` times before fails instead."""
        while (found := self._claimable(kinds)) is not None:
            if found.attempts >= MAX_ATTEMPTS:
                self.fail(found.id, ABANDONED)
                continue
            statement = (
                update(jobs)
                .where(jobs.c.id == found.id)
                .values(
                    state=JobState.RUNNING.value,
                    attempts=found.attempts + 1,
                    lease_owner=worker,
                    lease_until=now() + timedelta(seconds=lease_s),
                )
            )
            self._connection.execute(statement)
            return self.get(found.id)
        return None

    def extend(self, job_id: str, worker: str, lease_s: float) -> bool:
        """Prolongs the lease to `lease_s` seconds from now. False where the worker has lost the
        job: to another, or because it is finished."""
        statement = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.lease_owner == worker)
            .where(jobs.c.state == JobState.RUNNING.value)
            .values(lease_until=now() + timedelta(seconds=lease_s))
        )
        return self._connection.execute(statement).rowcount == 1

    def release(self, job_id: str, worker: str) -> bool:
        """The worker gives the job back undone, and it counts as no attempt. False where the worker
        had lost it."""
        statement = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.lease_owner == worker)
            .where(jobs.c.state == JobState.RUNNING.value)
            .values(
                state=JobState.PENDING.value,
                attempts=jobs.c.attempts - 1,
                lease_owner=None,
                lease_until=None,
            )
        )
        return self._connection.execute(statement).rowcount == 1

    def finish(self, job_id: str, result: Mapping[str, Any], *, outcome: str | None = None) -> Job:
        """The job is done. The first result stays; it also replaces a failure, where a worker
        that was given up comes in after all. `outcome`: what an item's run counts it by. Raises
        `NotFound`."""
        open_states = [s for s in JobState if s is not JobState.DONE]
        values = {"result": dict(result), "outcome": outcome}
        return self._end(job_id, open_states, JobState.DONE, values)

    def fail(self, job_id: str, problem: Mapping[str, Any]) -> Job:
        """The job has failed for good; nothing changes where it has ended. Raises `NotFound`."""
        open_states = [JobState.PENDING, JobState.RUNNING]
        values = {"problem": dict(problem), "outcome": FAILED}
        return self._end(job_id, open_states, JobState.FAILED, values)

    def _claimable(self, kinds: Collection[str] | None) -> Job | None:
        """What was begun and left lying first. Two queries, for each follows its index, however
        many jobs have ended."""
        running = jobs.c.state == JobState.RUNNING.value
        left = self._first(and_(running, jobs.c.lease_until < now()), kinds)
        return left or self._first(jobs.c.state == JobState.PENDING.value, kinds)

    def _first(self, where: ColumnElement[bool], kinds: Collection[str] | None) -> Job | None:
        query = select(jobs).where(where)
        if kinds is not None:
            query = query.where(jobs.c.kind.in_(kinds))
        # SQLite knows no row locks and needs none: its write transactions run one by one.
        query = query.order_by(jobs.c.id).limit(1).with_for_update(skip_locked=True)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else rows.job(row)

    def _end(
        self,
        job_id: str,
        from_states: Collection[JobState],
        state: JobState,
        ended: dict[str, Any],
    ) -> Job:
        """Ends the job where it is in one of the states, and counts it once in its run."""
        query = select(jobs).where(jobs.c.id == job_id).with_for_update()
        row = self._connection.execute(query).mappings().first()
        if row is None:
            raise NotFound(f"there is no job {job_id!r}")
        before = rows.job(row)
        if before.state not in from_states:
            return before
        values = {"state": state.value, "finished_at": now(), "lease_owner": None}
        values |= {"lease_until": None, "result": None, "problem": None} | ended
        self._connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))
        if before.run_id is not None:
            moved = Counter({self.get(job_id).outcome: 1})
            moved.subtract({before.outcome: 1})
            self._runs.count(before.run_id, {name: n for name, n in moved.items() if name})
        return self.get(job_id)
