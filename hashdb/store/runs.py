"""Walks over many things, each of which becomes a job: an item of the run.

One process walks at a time, for the time of a lease, and adds the items page by page, each page
with the cursor behind it in one transaction. An item is known by its key: walked over again, it is
the item that it was. What came of the items is counted as they end, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hashdb.errors import NotFound
from hashdb.model import Job, JobState, Run, RunCounts, new_id, now
from hashdb.model.work import BROKEN
from hashdb.store import rows
from hashdb.tables import jobs, run_counts, runs

FAILED = "failed"
LISTED = "listed"


class Runs:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        postgres = connection.dialect.name == "postgresql"
        self._insert = postgresql.insert if postgres else sqlite.insert

    def open(self, kind: str, subject: str, options: Mapping[str, Any]) -> Run:
        """The run of that kind over that subject, made where there is none; with these options
        from now on. A walk that broke off for good begins again."""
        before = self.find(kind, subject)
        values = {
            "id": new_id("run"),
            "kind": kind,
            "subject": subject,
            "options": dict(options),
            "walked": False,
            "created_at": now(),
        }
        statement = self._insert(runs).values(values)
        self._connection.execute(
            statement.on_conflict_do_update(
                index_elements=["kind", "subject"], set_={"options": statement.excluded.options}
            )
        )
        if before is not None and before.broken is not None:
            self.walk_again(before.id)
        found = self.find(kind, subject)
        assert found is not None
        return found

    def find(self, kind: str, subject: str) -> Run | None:
        query = select(runs).where(runs.c.kind == kind, runs.c.subject == subject)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else rows.run(row)

    def begun(self, kind: str, prefix: str) -> list[Run]:
        """The runs of that kind whose subject begins so, the oldest first."""
        alike = runs.c.subject.startswith(prefix, autoescape=True)
        query = (
            select(runs).where(runs.c.kind == kind, alike).order_by(runs.c.created_at, runs.c.id)
        )
        return [rows.run(row) for row in self._connection.execute(query).mappings()]

    def get(self, run_id: str) -> Run:
        """The run; `NotFound` where there is none."""
        row = self._connection.execute(select(runs).where(runs.c.id == run_id)).mappings().first()
        if row is None:
            raise NotFound(f"there is no run {run_id!r}")
        return rows.run(row)

    def walk_again(self, run_id: str) -> None:
        """Walk from the beginning, for what is new since; a walk that is under way goes on."""
        statement = update(runs).where(runs.c.id == run_id, runs.c.walked.is_(True))
        self._connection.execute(statement.values(walked=False, cursor=None))

    def claim(self, worker: str, lease_s: float, *, kinds: Collection[str]) -> Run | None:
        """The oldest run that nobody walks and that is not at its end, for `lease_s` seconds."""
        free = or_(runs.c.lease_until.is_(None), runs.c.lease_until < now())
        query = select(runs).where(runs.c.walked.is_(False), free, runs.c.kind.in_(kinds))
        query = query.order_by(runs.c.id).limit(1).with_for_update(skip_locked=True)
        row = self._connection.execute(query).mappings().first()
        if row is None:
            return None
        lease = {"lease_owner": worker, "lease_until": now() + timedelta(seconds=lease_s)}
        self._connection.execute(update(runs).where(runs.c.id == row["id"]).values(lease))
        return rows.run(row)

    def extend(self, run_id: str, worker: str, lease_s: float) -> bool:
        """Prolongs the walker's lease; False where the worker has lost the run."""
        return self._mine(run_id, worker, lease_until=now() + timedelta(seconds=lease_s))

    def release(self, run_id: str, worker: str) -> bool:
        """Lets another one walk on at once; False where the worker has lost the run."""
        return self._mine(run_id, worker, lease_owner=None, lease_until=None)

    def advance(
        self, run: Run, worker: str, cursor: str | None, items: Sequence[tuple[str, dict[str, Any]]]
    ) -> int | None:
        """Adds a page of items (key, payload), and remembers the cursor behind them. How many of
        them are new; None, and nothing is done, where the worker has lost the run."""
        if not self._mine(run.id, worker, cursor=cursor):
            return None
        new = self._add(run, items) if items else 0
        if new:
            self.count(run.id, {LISTED: new})
        return new

    def end_walk(self, run_id: str, worker: str) -> bool:
        """The walk came to its end. False where the worker has lost the run."""
        return self._mine(run_id, worker, walked=True, lease_owner=None, lease_until=None)

    def break_off(self, run: Run, worker: str, why: str) -> bool:
        """The walk cannot come to its end, and would break off again. False where the worker has
        lost the run."""
        ended = {"walked": True, "lease_owner": None, "lease_until": None}
        return self._mine(run.id, worker, options={**run.options, BROKEN: why}, **ended)

    def cancel(self, run_id: str) -> None:
        """End the walk, and drop the items that wait, as if they had never been listed. Those that
        are worked at come to their end."""
        ended = {"walked": True, "lease_owner": None, "lease_until": None}
        self._connection.execute(update(runs).where(runs.c.id == run_id).values(ended))
        waiting = and_(jobs.c.run_id == run_id, jobs.c.state == JobState.PENDING.value)
        dropped = self._connection.execute(delete(jobs).where(waiting)).rowcount
        if dropped:
            self.count(run_id, {LISTED: -dropped})

    def counts(self, run_id: str) -> RunCounts:
        query = select(run_counts.c.name, run_counts.c.n).where(run_counts.c.run_id == run_id)
        found = {name: int(n) for name, n in self._connection.execute(query)}
        listed = found.pop(LISTED, 0)
        return RunCounts(listed, {name: n for name, n in sorted(found.items()) if n})

    def count(self, run_id: str, more: Mapping[str, int]) -> None:
        """Counts on; in the order of the names, so that two transactions cannot wait for each
        other."""
        for name, n in sorted(more.items()):
            statement = self._insert(run_counts).values(run_id=run_id, name=name, n=n)
            total = run_counts.c.n + statement.excluded.n
            self._connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["run_id", "name"], set_={"n": total}
                )
            )

    def items(
        self, run_id: str, outcome: str, *, limit: int = 500, after: str | None = None
    ) -> list[Job]:
        """At most `limit` items that ended with that outcome, after the item `after`."""
        query = select(jobs).where(jobs.c.run_id == run_id, jobs.c.outcome == outcome)
        if after is not None:
            query = query.where(jobs.c.id > after)
        query = query.order_by(jobs.c.id).limit(limit)
        return [rows.job(row) for row in self._connection.execute(query).mappings()]

    def retry_failed(self, run_id: str) -> int:
        """Items that failed wait again, as if they had never been tried; how many."""
        failed = and_(jobs.c.run_id == run_id, jobs.c.outcome == FAILED)
        values = {"state": JobState.PENDING.value, "attempts": 0, "outcome": None}
        values |= {"problem": None, "finished_at": None}
        n = self._connection.execute(update(jobs).where(failed).values(values)).rowcount
        if n:
            self.count(run_id, {FAILED: -n})
        return n

    def _mine(self, run_id: str, worker: str, **values: Any) -> bool:
        mine = and_(runs.c.id == run_id, runs.c.lease_owner == worker)
        return self._connection.execute(update(runs).where(mine).values(values)).rowcount == 1

    def _add(self, run: Run, items: Sequence[tuple[str, dict[str, Any]]]) -> int:
        made = [
            {
                "id": new_id("job"),
                "kind": run.kind,
                "key_id": run.id,
                "dedup_key": key,
                "payload": payload,
                "state": JobState.PENDING.value,
                "attempts": 0,
                "created_at": now(),
                "run_id": run.id,
            }
            for key, payload in items
        ]
        known = ["key_id", "kind", "dedup_key"]
        statement = self._insert(jobs).values(made).on_conflict_do_nothing(index_elements=known)
        return len(self._connection.execute(statement.returning(jobs.c.id)).all())
