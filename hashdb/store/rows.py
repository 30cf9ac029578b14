"""Rows become values here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import RowMapping, Select, select

from hashdb.errors import BadArgument
from hashdb.model import (
    Action,
    AuditEntry,
    Bank,
    Change,
    ChangeKind,
    Decision,
    Digests,
    Exchange,
    Job,
    JobState,
    Key,
    MediaKind,
    Reference,
    Review,
    Role,
    Run,
    Standing,
)
from hashdb.tables import bank_references, banks

T = TypeVar("T")

Row = RowMapping | Mapping[str, Any]
"""SQLAlchemy's, or a prepared statement's."""

# Few enough values for one statement on both engines (SQLite: 32,766; PostgreSQL: 65,535).
CHUNK = 500


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """The distinct values in their order, in lists of at most `size`."""
    distinct = list(dict.fromkeys(values))
    for start in range(0, len(distinct), size):
        yield distinct[start : start + size]


def page(rows: Sequence[T], limit: int) -> tuple[Sequence[T], bool]:
    """The first `limit` of rows that were asked for with `limit + 1`; whether there are more."""
    return rows[:limit], len(rows) > limit


def number(cursor: str) -> int:
    """The row number that a page's cursor stands for; `BadArgument` where it is none."""
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise BadArgument(f"{cursor!r} is no cursor")
    return int(cursor)


_BANK_COLUMNS = [column.label(f"bank__{column.name}") for column in banks.c]


def select_references() -> Select[Any]:
    """References with their banks; `reference` reads the rows."""
    return select(bank_references, *_BANK_COLUMNS).join(
        banks, banks.c.id == bank_references.c.bank_id
    )


def bank(row: Row, prefix: str = "") -> Bank:
    return Bank(
        id=row[f"{prefix}id"],
        name=row[f"{prefix}name"],
        action=Action(row[f"{prefix}action"]),
        label=row[f"{prefix}label"],
        enabled=row[f"{prefix}enabled"],
        created_at=row[f"{prefix}created_at"],
    )


def reference(row: Row) -> Reference:
    return Reference(
        id=row["id"],
        bank=bank(row, "bank__"),
        kind=MediaKind(row["kind"]),
        digests=Digests(sha256=row["sha256"], md5=row["md5"]),
        source=row["source"],
        origin=row["origin"],
        duration_s=row["duration_s"],
        frames=row["frames"],
        standing=Standing(row["standing"]),
        enabled=row["enabled"],
        added_at=row["added_at"],
        withdrawn_at=row["withdrawn_at"],
        metadata=row["metadata"],
    )


def change(row: Row) -> Change:
    return Change(
        number=row["number"],
        kind=ChangeKind(row["kind"]),
        reference_id=row["reference_id"],
        bank_id=row["bank_id"],
        at=row["at"],
    )


def review(row: Row) -> Review:
    return Review(
        id=row["id"],
        upload_id=row["upload_id"],
        verdict_id=row["verdict_id"],
        queue=row["queue"],
        opened_at=row["opened_at"],
        claimed_by=row["claimed_by"],
        claimed_at=row["claimed_at"],
    )


def decision(row: Row) -> Decision:
    return Decision(
        id=row["id"],
        review_id=row["review_id"],
        upload_id=row["upload_id"],
        action=Action(row["action"]),
        label=row["label"],
        reviewer=row["reviewer"],
        rationale=row["rationale"],
        at=row["at"],
    )


def key(row: Row) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        role=Role(row["role"]),
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )


def job(row: Row) -> Job:
    return Job(
        id=row["id"],
        kind=row["kind"],
        key_id=row["key_id"],
        payload=row["payload"],
        state=JobState(row["state"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
        result=row["result"],
        problem=row["problem"],
        run_id=row["run_id"],
        outcome=row["outcome"],
    )


def run(row: Row) -> Run:
    return Run(
        id=row["id"],
        kind=row["kind"],
        subject=row["subject"],
        options=row["options"],
        walked=row["walked"],
        cursor=row["cursor"],
        created_at=row["created_at"],
    )


def exchange(row: Row) -> Exchange:
    return Exchange(
        id=row["id"],
        partner=row["partner"],
        bank_id=row["bank_id"],
        checkpoint=row["checkpoint"],
        synced_at=row["synced_at"],
    )


def audit_entry(row: Row) -> AuditEntry:
    return AuditEntry(
        at=row["at"],
        actor=row["actor"],
        act=row["act"],
        subject=row["subject"],
        detail=row["detail"],
    )
