"""What is deleted when it is old, in small transactions, and what is erased when that is asked for.

Nothing here touches references, banks, the change log, keys or exchanges. An upload that has a
review, open or decided, is never deleted for its age: what a person ruled stays with what it was
ruled on.

Uploads and their fingerprints are found by their ids, which sort by their making.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    select,
    text,
)

from hashdb.errors import Conflict, NotFound, UploadBusy
from hashdb.model import Job, JobState, first_id
from hashdb.store import rows
from hashdb.store.jobs import again
from hashdb.tables import (
    audit,
    decisions,
    found_later,
    jobs,
    reviews,
    run_counts,
    runs,
    seen,
    upload_fingerprints,
    uploads,
    verdicts,
)

_TABLES = {
    "jobs": jobs,
    "fingerprints": upload_fingerprints,
    "verdicts": verdicts,
    "audit": audit,
}


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction has deleted: `removed` things. `cursor`: behind which to go on, None
    where the end was reached. `files`: what of the spool they may have left behind."""

    removed: int
    cursor: Any = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Erased:
    """What was erased of an upload: whose it was, what had been concluded and ruled."""

    key_id: str
    action: str | None
    decisions: tuple[str, ...]
    files: tuple[str, ...]


class Retention:
    """Each method deletes at most `limit` things older than `before`, behind the cursor `after`;
    its twin counts all of them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fingerprints(self, before: datetime, limit: int, after: str | None) -> Batch:
        """Fingerprints of past uploads, counted by upload."""
        key = upload_fingerprints.c.upload_row_id
        query = select(key).distinct().where(_made(key, before, after)).order_by(key).limit(limit)
        ids = list(self._connection.scalars(query))
        self._delete(upload_fingerprints, key, ids)
        return _batch(ids, limit)

    def count_fingerprints(self, before: datetime) -> int:
        key = upload_fingerprints.c.upload_row_id
        return self._count(select(key).distinct().where(_made(key, before)))

    def verdicts(self, before: datetime, limit: int, after: str | None) -> Batch:
        """Uploads without a review: verdicts, fingerprints, and what was seen in them."""
        # Locked, so that a review or a find that comes in between waits, and finds them gone; and
        # looked at once more, for one that came before the lock.
        query = _unreviewed(before, after).order_by(uploads.c.id).limit(limit)
        query = query.with_for_update(of=[uploads, verdicts], skip_locked=True)
        found = {verdict_id: row_id for row_id, verdict_id in self._connection.execute(query)}
        query = select(reviews.c.verdict_id).where(reviews.c.verdict_id.in_(found))
        held = set(self._connection.scalars(query))
        ids = [row_id for verdict_id, row_id in found.items() if verdict_id not in held]
        self._delete_uploads(ids)
        last = list(found.values())[-1] if len(found) == limit else None
        return Batch(len(ids), last)

    def count_verdicts(self, before: datetime) -> int:
        return self._count(_unreviewed(before))

    def jobs(
        self, kinds: Collection[str], before: datetime, limit: int, after: datetime | None
    ) -> Batch:
        """Jobs of these kinds that ended; then runs of theirs that have no item left."""
        query = select(jobs.c.id, jobs.c.finished_at, jobs.c.state, jobs.c.payload)
        query = query.where(_ended(kinds, before))
        if after is not None:
            query = query.where(jobs.c.finished_at >= after)
        found = self._connection.execute(query.order_by(jobs.c.finished_at).limit(limit)).all()
        self._delete(jobs, jobs.c.id, [row.id for row in found])
        # Of a job that was done the file was dropped then.
        failed = [row.payload for row in found if row.state == JobState.FAILED.value]
        files = tuple(str(payload["file"]) for payload in failed if "file" in payload)
        if len(found) == limit:
            return Batch(len(found), found[-1].finished_at, files)
        self._delete_runs(kinds, before)
        return Batch(len(found), None, files)

    def count_jobs(self, kinds: Collection[str], before: datetime) -> int:
        return self._count(select(jobs.c.id).where(_ended(kinds, before)))

    def audit(self, before: datetime, limit: int, after: int | None) -> Batch:
        """Entries of the audit. Their numbers rise with their moments, so the first that is young
        is the end."""
        query = select(audit.c.number, audit.c.at).where(audit.c.number > (after or 0))
        found = self._connection.execute(query.order_by(audit.c.number).limit(limit))
        ids = [number for number, at in found if at < before]
        self._delete(audit, audit.c.number, ids)
        return _batch(ids, limit)

    def count_audit(self, before: datetime) -> int:
        return self._count(select(audit.c.number).where(audit.c.at < before))

    def stored(self) -> dict[str, int]:
        """How many rows there are of each kind; of a large table what PostgreSQL estimates."""
        return {kind: self._rows(table) for kind, table in _TABLES.items()}

    def erase(self, upload_id: str, key_id: str | None, *, kind: str) -> Erased:
        """Deletes all that is kept of an upload: digests, metadata, fingerprints, the verdict,
        decided reviews, decisions, and the jobs of that kind that judged it.

        `NotFound` where nothing is kept; `Conflict` where several keys have an upload of that id
        and none is named; `UploadBusy` while a review of it is open or a job is to judge it.
        """
        owner = self._owner(upload_id) if key_id is None else key_id
        promised = self._promised(owner, upload_id, kind)
        if any(job.finished_at is None for job in promised):
            raise UploadBusy(f"a job is still to judge upload {upload_id!r}")
        action, ruled = self._erase_upload(owner, upload_id)
        if action is None and not promised:
            raise NotFound(f"nothing is kept of an upload {upload_id!r} of key {owner}")
        self._delete(jobs, jobs.c.id, [job.id for job in promised])
        files = tuple(str(job.payload["file"]) for job in promised if "file" in job.payload)
        return Erased(owner, action, ruled, files)

    def _owner(self, upload_id: str) -> str:
        """The key whose upload of that id was judged."""
        query = select(uploads.c.key_id).where(uploads.c.upload_id == upload_id)
        owners = list(self._connection.scalars(query))
        if not owners:
            raise NotFound(f"no upload {upload_id!r} was judged")
        if len(owners) > 1:
            raise Conflict(f"several keys have an upload {upload_id!r}: give a key_id")
        return str(owners[0])

    def _promised(self, key_id: str, upload_id: str, kind: str) -> list[Job]:
        """The jobs that were to judge it; each after one that failed is named by that one's id."""
        found: list[Job] = []
        name = upload_id
        while True:
            same = and_(jobs.c.key_id == key_id, jobs.c.kind == kind, jobs.c.dedup_key == name)
            row = self._connection.execute(select(jobs).where(same)).mappings().first()
            if row is None:
                return found
            found.append(rows.job(row))
            name = again(upload_id, found[-1])

    def _erase_upload(self, key_id: str, upload_id: str) -> tuple[str | None, tuple[str, ...]]:
        """Its verdict's action, None where there is none, and the ids of the decisions that went
        with it."""
        query = (
            select(uploads.c.id, verdicts.c.id.label("verdict_id"), verdicts.c.action)
            .join(verdicts, verdicts.c.upload_row_id == uploads.c.id)
            .where(uploads.c.key_id == key_id, uploads.c.upload_id == upload_id)
            .with_for_update(of=[uploads, verdicts])
        )
        upload = self._connection.execute(query).first()
        if upload is None:
            return None, ()
        of_verdict = reviews.c.verdict_id == upload.verdict_id
        query = select(reviews.c.id, reviews.c.decided_at).where(of_verdict)
        cases = self._connection.execute(query).all()
        if any(case.decided_at is None for case in cases):
            raise UploadBusy(f"a review of upload {upload_id!r} is open: rule on it first")
        of_cases = decisions.c.review_id.in_([case.id for case in cases])
        ruled = tuple(self._connection.scalars(select(decisions.c.id).where(of_cases)))
        self._connection.execute(delete(decisions).where(of_cases))
        of_upload = found_later.c.verdict_id == upload.verdict_id
        self._connection.execute(delete(found_later).where(of_upload))
        self._connection.execute(delete(reviews).where(of_verdict))
        self._delete_uploads([upload.id])
        return upload.action, ruled

    def _delete_uploads(self, ids: Sequence[str]) -> None:
        for table in (seen, upload_fingerprints, verdicts):
            self._delete(table, table.c.upload_row_id, ids)
        self._delete(uploads, uploads.c.id, ids)

    def _delete_runs(self, kinds: Collection[str], before: datetime) -> None:
        items = exists().where(jobs.c.run_id == runs.c.id)
        query = select(runs.c.id).where(runs.c.kind.in_(kinds), runs.c.walked.is_(True), ~items)
        over = list(self._connection.scalars(query.where(runs.c.created_at < before)))
        self._delete(run_counts, run_counts.c.run_id, over)
        self._delete(runs, runs.c.id, over)

    def _delete(self, table: Table, column: Column[Any], values: Sequence[Any]) -> None:
        for some in rows.chunks(values):
            self._connection.execute(delete(table).where(column.in_(some)))

    def _count(self, query: Any) -> int:
        return self._connection.scalar(select(func.count()).select_from(query.subquery())) or 0

    def _rows(self, table: Table) -> int:
        if self._connection.dialect.name == "postgresql":
            query = text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)")
            estimate = self._connection.scalar(query, {"name": table.name})
            if estimate is not None and estimate >= 0:  # -1: nobody has counted yet
                return int(estimate)
        return self._connection.scalar(select(func.count()).select_from(table)) or 0


def _batch(ids: Sequence[Any], limit: int) -> Batch:
    return Batch(len(ids), ids[-1] if len(ids) == limit else None)


def _made(key: Column[Any], before: datetime, after: str | None = None) -> ColumnElement[bool]:
    """Of uploads received before a moment."""
    old = key < first_id("upl", before)
    return old if after is None else and_(old, key > after)


def _unreviewed(before: datetime, after: str | None = None) -> Any:
    """Rows (upload's id, verdict's id)."""
    return (
        select(uploads.c.id, verdicts.c.id.label("verdict_id"))
        .join(verdicts, verdicts.c.upload_row_id == uploads.c.id)
        .where(_made(uploads.c.id, before, after))
        .where(~exists().where(reviews.c.verdict_id == verdicts.c.id))
    )


def _ended(kinds: Collection[str], before: datetime) -> ColumnElement[bool]:
    return and_(jobs.c.kind.in_(kinds), jobs.c.finished_at < before)
