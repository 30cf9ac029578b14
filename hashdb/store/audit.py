"""Who did what: rows are added, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select

from hashdb.model import AuditEntry, now
from hashdb.store import rows
from hashdb.tables import audit


class Audit:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def record(
        self, actor: str, act: str, subject: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        """`actor` (a key's id, "cli") did `act` ("reference.withdraw") to `subject` (an id)."""
        values = {
            "at": now(),
            "actor": actor,
            "act": act,
            "subject": subject,
            "detail": dict(detail or {}),
        }
        self._connection.execute(insert(audit), values)

    def list(
        self,
        *,
        limit: int = 100,
        after: str | None = None,
        actor: str | None = None,
        subject: str | None = None,
    ) -> tuple[list[AuditEntry], str | None]:
        """A page of entries, newest first, and the cursor of the next page, None at the end."""
        query = select(audit)
        if actor is not None:
            query = query.where(audit.c.actor == actor)
        if subject is not None:
            query = query.where(audit.c.subject == subject)
        if after is not None:
            query = query.where(audit.c.number < rows.number(after))
        query = query.order_by(audit.c.number.desc()).limit(limit + 1)
        found, more = rows.page(self._connection.execute(query).mappings().all(), limit)
        cursor = str(found[-1]["number"]) if found and more else None
        return [rows.audit_entry(row) for row in found], cursor
