"""The append-only log of what was added to the banks and taken out of them.

Readers (an index, a partner's feed) remember the highest number they have seen and ask for what
came after. So numbers must become visible in their order: a row that commits late must not carry
a lower number than one that was already read. On SQLite there is one writer at a time. On
PostgreSQL each writer takes an advisory lock before its rows are numbered and holds it until its
commit is visible. Rows are numbered at the end of the transaction, so the lock is held briefly.
See docs/decisions/0002-change-log-order.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, TypeVar

from sqlalchemy import Connection, Integer, bindparam, func, insert, select, text

from hashdb.model import Change, ChangeKind, now
from hashdb.store import rows
from hashdb.store.prepared import Prepared
from hashdb.tables import bank_references, changes

# An arbitrary constant: the key of PostgreSQL's advisory lock around the numbering.
CHANGES_LOCK = 0x5EA_0A11_0002
CHANNEL = "seawall_changes"
"""Where PostgreSQL tells, with the commit, that there are new changes: see `hashdb.store.feed`."""

_BATCH = 500  # values in one query
Value = TypeVar("Value")

# Made once: it is asked for every upload.
_SINCE = (
    select(changes)
    .where(changes.c.number > bindparam("after"))
    .order_by(changes.c.number)
    .limit(bindparam("most", type_=Integer()))
)
_ALL_SINCE = Prepared(_SINCE)


class Changes:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._pending: list[dict[str, Any]] = []

    def append(self, kind: ChangeKind, reference_id: str, bank_id: str) -> None:
        """Notes a change; it gets its number when the transaction commits."""
        self._pending.append(
            {"kind": kind.value, "reference_id": reference_id, "bank_id": bank_id, "at": now()}
        )

    def flush(self) -> None:
        """Numbers the noted changes. The store calls it right before the commit."""
        if not self._pending:
            return
        if self._connection.dialect.name == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:key)")
            self._connection.execute(lock, {"key": CHANGES_LOCK})
            self._connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": CHANNEL})
        for change in self._pending:  # one by one: the numbers follow the order of the acts
            self._connection.execute(insert(changes), change)
        self._pending.clear()

    def head(self) -> int:
        """The highest number in the log; 0 where it is empty."""
        self.flush()
        found: int | None = self._connection.scalar(select(func.max(changes.c.number)))
        return found or 0

    def since(
        self, number: int, *, limit: int = 1000, bank_ids: Collection[str] | None = None
    ) -> list[Change]:
        """At most `limit` changes with a higher number, in order; of these banks only, where
        `bank_ids` is given."""
        self.flush()
        values = {"after": number, "most": limit}
        if bank_ids is None:
            return [rows.change(row) for row in _ALL_SINCE.rows(self._connection, values)]
        query = _SINCE.where(changes.c.bank_id.in_(bank_ids))
        return [rows.change(row) for row in self._connection.execute(query, values).mappings()]

    def living(self, after: int, *, limit: int) -> list[tuple[int, str]]:
        """The numbers by which references were added that are not withdrawn, and their ids: at
        most `limit` with a higher number than `after`, in order."""
        self.flush()
        number, reference_id = changes.c.number, changes.c.reference_id
        query = (
            select(number, reference_id)
            .join(bank_references, bank_references.c.id == reference_id)
            .where(changes.c.kind == ChangeKind.ADD.value, number > after)
            .where(bank_references.c.withdrawn_at.is_(None))
            .order_by(number)
            .limit(limit)
        )
        return [(int(n), str(i)) for n, i in self._connection.execute(query)]

    def additions(self, reference_ids: Iterable[str]) -> dict[str, int]:
        """By id, the number by which each of these references was added."""
        query = select(changes.c.reference_id, changes.c.number).where(
            changes.c.kind == ChangeKind.ADD.value
        )
        found: dict[str, int] = {}
        for some in _batched(reference_ids):
            rows = self._connection.execute(query.where(changes.c.reference_id.in_(some)))
            found |= {str(i): int(n) for i, n in rows}
        return found

    def added(self, numbers: Iterable[int]) -> dict[int, str]:
        """By number, the id of the reference that was added by it; none where none was."""
        query = select(changes.c.number, changes.c.reference_id).where(
            changes.c.kind == ChangeKind.ADD.value
        )
        found: dict[int, str] = {}
        for some in _batched(numbers):
            rows = self._connection.execute(query.where(changes.c.number.in_(some)))
            found |= {int(n): str(i) for n, i in rows}
        return found


def _batched(values: Iterable[Value]) -> Iterator[list[Value]]:
    every = list(values)
    for first in range(0, len(every), _BATCH):
        yield every[first : first + _BATCH]
