"""Uploads, what is kept of them, and what was concluded of them. For how long: see
`hashdb.store.retention`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite

from hashdb.errors import NotFound, UploadConflict
from hashdb.model import Action, Digests, Fingerprint, Verdict, first_id, new_id, now
from hashdb.store import packing, verdict_json
from hashdb.store.casework import Casework
from hashdb.store.prepared import Prepared
from hashdb.tables import seen, upload_fingerprints, uploads, verdicts

# An arbitrary constant: tells PostgreSQL's advisory locks on uploads from those on other things.
UPLOADS_LOCK = 0x5EA_0A11_0004

# Made once: these are asked for every upload.
_HOLD = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, :seed))")
_VERDICT = Prepared(
    select(verdicts.c.body, uploads.c.request_digest)
    .join(uploads, uploads.c.id == verdicts.c.upload_row_id)
    .where(uploads.c.key_id == bindparam("key_id"), uploads.c.upload_id == bindparam("upload_id"))
)
_INSERT_VERDICT = Prepared(insert(verdicts))
_INSERT_FINGERPRINT = Prepared(insert(upload_fingerprints))
_INSERT_SEEN = Prepared(insert(seen))
_INSERT = {
    name: Prepared(
        dialect.insert(uploads)
        .on_conflict_do_nothing(index_elements=[uploads.c.key_id, uploads.c.upload_id])
        .returning(uploads.c.id)
    )
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What is kept of an upload; no fingerprints once they are older than their retention."""

    row_id: str
    verdict_id: str
    verdict: Verdict
    digests: Digests
    fingerprints: tuple[Fingerprint, ...]


class Uploads:
    def __init__(self, connection: Connection, casework: Casework) -> None:
        self._connection = connection
        self._casework = casework

    def hold(self, key_id: str, upload_id: str) -> None:
        """Until the transaction ends, no other one holds that upload. For who asks what is known of
        it and then writes: on PostgreSQL each of two would see nothing of the other. First of all,
        for a query sees what was committed before it began, not while it waited."""
        if self._connection.dialect.name == "postgresql":
            values = {"name": f"{key_id} {upload_id}", "seed": UPLOADS_LOCK}
            self._connection.execute(_HOLD, values)

    def record(
        self,
        key_id: str,
        upload_id: str,
        request_digest: str,
        verdict: Verdict,
        digests: Digests,
        fingerprints: Sequence[Fingerprint],
        *,
        metadata: Mapping[str, Any] | None = None,
        queue: str = "default",
    ) -> Verdict:
        """Keeps the upload, its upright fingerprints, the verdict, what it has matched, and opens
        a review where the action is `review`. Answers the verdict as it is stored.

        An upload that is recorded already is left as it is: its stored verdict is the answer, or
        `UploadConflict` where the request's digest differs.
        """
        packed = [packing.pack(f) for f in packing.merged(fingerprints)]
        row_id = new_id("upl")
        row = {
            "id": row_id,
            "key_id": key_id,
            "upload_id": upload_id,
            "request_digest": request_digest,
            "sha256": digests.sha256,
            "md5": digests.md5,
            "metadata": dict(metadata or {}),
            "received_at": now(),
        }
        if self._is_new(row):
            return self._keep(row_id, verdict, packed, queue)
        earlier = self.verdict(key_id, upload_id)
        assert earlier is not None  # an upload and its verdict are committed together
        stored, known_digest = earlier
        if known_digest != request_digest:
            raise UploadConflict(f"upload {upload_id!r} was sent before with other content")
        return stored

    def _is_new(self, row: dict[str, Any]) -> bool:
        """Inserts an upload, unless it is there; on PostgreSQL after waiting for a transaction that
        may be about to insert it."""
        statement = _INSERT[self._connection.dialect.name]
        return statement.first(self._connection, row) is not None

    def verdict(self, key_id: str, upload_id: str) -> tuple[Verdict, str] | None:
        """The stored verdict and the digest of its request; None where there is none."""
        values = {"key_id": key_id, "upload_id": upload_id}
        row = _VERDICT.first(self._connection, values)
        if row is None:
            return None
        return verdict_json.from_json(row["body"]), row["request_digest"]

    def verdicts_by_upload(self, upload_id: str) -> list[Verdict]:
        """Verdicts of all keys on uploads of that id, newest first."""
        query = (
            select(verdicts.c.body)
            .join(uploads, uploads.c.id == verdicts.c.upload_row_id)
            .where(uploads.c.upload_id == upload_id)
            .order_by(verdicts.c.judged_at.desc(), verdicts.c.id.desc())
        )
        return [verdict_json.from_json(body) for body in self._connection.scalars(query)]

    def of_verdict(self, verdict_id: str) -> Verdict:
        """The verdict of that id; `NotFound` where there is none."""
        body = self._connection.scalar(select(verdicts.c.body).where(verdicts.c.id == verdict_id))
        if body is None:
            raise NotFound(f"there is no verdict {verdict_id!r}")
        return verdict_json.from_json(body)

    def seen(self, reference_id: str) -> list[tuple[str, datetime]]:
        """The upload ids in which a reference was found, and when, oldest first."""
        query = (
            select(uploads.c.upload_id, seen.c.at)
            .join(uploads, uploads.c.id == seen.c.upload_row_id)
            .where(seen.c.reference_id == reference_id)
            .order_by(seen.c.at, uploads.c.id)
        )
        return [(row[0], row[1]) for row in self._connection.execute(query)]

    def rows_since(self, at: datetime, *, limit: int, after: str | None = None) -> list[str]:
        """At most `limit` of the uploads received at or after `at`, by the store's own ids, behind
        the one `after`."""
        query = select(uploads.c.id).where(uploads.c.id >= first_id("upl", at))
        query = query.where(uploads.c.received_at >= at)
        if after is not None:
            query = query.where(uploads.c.id > after)
        return list(self._connection.scalars(query.order_by(uploads.c.id).limit(limit)))

    def past(self, row_id: str) -> Past:
        """What is kept of an upload; `NotFound` where there is none."""
        query = (
            select(verdicts.c.id, verdicts.c.body, uploads.c.sha256, uploads.c.md5)
            .join(uploads, uploads.c.id == verdicts.c.upload_row_id)
            .where(uploads.c.id == row_id)
        )
        row = self._connection.execute(query).first()
        if row is None:
            raise NotFound(f"there is no upload {row_id!r}")
        prints = (
            select(upload_fingerprints)
            .where(upload_fingerprints.c.upload_row_id == row_id)
            .order_by(*upload_fingerprints.primary_key.columns)
        )
        found = self._connection.execute(prints).mappings()
        return Past(
            row_id,
            row[0],
            verdict_json.from_json(row[1]),
            Digests(row[2], row[3]),
            tuple(packing.unpack(each) for each in found),
        )

    def _keep(
        self, row_id: str, verdict: Verdict, packed: list[dict[str, Any]], queue: str
    ) -> Verdict:
        body = verdict_json.to_json(verdict)
        verdict_id = new_id("ver")
        _INSERT_VERDICT.rows(
            self._connection,
            {
                "id": verdict_id,
                "upload_row_id": row_id,
                "action": verdict.action.value,
                "reason_code": verdict.reason.code,
                "policy_version": verdict.policy_version,
                "judged_at": verdict.judged_at,
                "body": body,
            },
        )
        for columns in packed:
            _INSERT_FINGERPRINT.rows(self._connection, {"upload_row_id": row_id, **columns})
        at = now()
        for reference_id in dict.fromkeys(m.reference.id for m in verdict.matches):
            values = {"reference_id": reference_id, "upload_row_id": row_id, "at": at}
            _INSERT_SEEN.rows(self._connection, values)
        if verdict.action is Action.REVIEW:
            self._casework.open_review(verdict_id, verdict.upload_id, queue=queue)
        return verdict_json.from_json(body)
