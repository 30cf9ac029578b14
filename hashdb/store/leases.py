"""What one process at a time does, now and then: who does it, and when it was last done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hashdb.model import now
from hashdb.tables import leases


class Leases:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        postgres = connection.dialect.name == "postgresql"
        self._insert = postgresql.insert if postgres else sqlite.insert

    def claim(self, name: str, worker: str, lease_s: float, *, every_s: float = 0.0) -> bool:
        """Whether the worker may do it, for `lease_s` seconds. Not while another does, nor where
        it was done less than `every_s` seconds ago."""
        made = self._insert(leases).values(name=name)
        self._connection.execute(made.on_conflict_do_nothing(index_elements=["name"]))
        at = now()
        free = or_(leases.c.until.is_(None), leases.c.until < at)
        last = at - timedelta(seconds=every_s)
        due = or_(leases.c.done_at.is_(None), leases.c.done_at <= last)
        taken = update(leases).where(leases.c.name == name, free, due)
        values = {"owner": worker, "until": at + timedelta(seconds=lease_s)}
        return self._connection.execute(taken.values(values)).rowcount == 1

    def extend(self, name: str, worker: str, lease_s: float) -> bool:
        """Prolongs the lease to `lease_s` seconds from now; False where the worker has lost it."""
        return self._mine(name, worker, until=now() + timedelta(seconds=lease_s))

    def release(self, name: str, worker: str) -> bool:
        """Lets another do it at once; False where the worker has lost it."""
        return self._mine(name, worker, owner=None, until=None)

    def done(self, name: str, worker: str, report: Mapping[str, Any]) -> bool:
        """It was done, and this is what is told of it. False where the worker has lost it."""
        return self._mine(name, worker, owner=None, until=None, done_at=now(), report=dict(report))

    def report(self, name: str) -> Mapping[str, Any]:
        """What is told of the last time; empty where it was never done."""
        found = self._connection.scalar(select(leases.c.report).where(leases.c.name == name))
        return found or {}

    def _mine(self, name: str, worker: str, **values: Any) -> bool:
        mine = and_(leases.c.name == name, leases.c.owner == worker)
        return self._connection.execute(update(leases).where(mine).values(values)).rowcount == 1
