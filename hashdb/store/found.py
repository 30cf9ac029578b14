"""What look-backs found in past uploads: beside their verdicts, which stay as they were.

Numbers rise in the order of commits, as those of the change log do: who has read up to one misses
nothing that comes after it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, insert, select, text

from hashdb.model import FoundLater, Verdict, now
from hashdb.store import rows, verdict_json
from hashdb.store.casework import Casework
from hashdb.store.uploads import Past
from hashdb.tables import found_later, seen, uploads, verdicts

# An arbitrary constant: the key of PostgreSQL's advisory lock around the numbering.
FOUND_LOCK = 0x5EA_0A11_0003


class Found:
    def __init__(self, connection: Connection, casework: Casework) -> None:
        self._connection = connection
        self._casework = casework

    def record(
        self, past: Past, found: Verdict, reference_ids: Sequence[str], *, queue: str
    ) -> bool:
        """Keeps what was found in an upload after its verdict: those of the references count as
        seen in it, and a review is opened, or the one that is open is told. False, and nothing is
        done, where all of them were seen in it before, or where the upload is gone."""
        # Locked as a row that refers to it would lock it, so that it is not purged meanwhile.
        here = select(uploads.c.id).where(uploads.c.id == past.row_id)
        here = here.with_for_update(read=True, key_share=True)
        if self._connection.scalar(here) is None:
            return False
        known = select(seen.c.reference_id).where(seen.c.upload_row_id == past.row_id)
        new = set(reference_ids) - set(self._connection.scalars(known))
        if not new:
            return False
        at = now()
        shown = [{"reference_id": r, "upload_row_id": past.row_id, "at": at} for r in sorted(new)]
        self._connection.execute(insert(seen), shown)
        review = self._casework.open_review(past.verdict_id, past.verdict.upload_id, queue=queue)
        values = {
            "verdict_id": past.verdict_id,
            "review_id": review.id,
            "body": verdict_json.to_json(found),
        }
        if self._connection.dialect.name == "postgresql":
            lock = text("SELECT pg_advisory_xact_lock(:key)")
            self._connection.execute(lock, {"key": FOUND_LOCK})
        self._connection.execute(insert(found_later), values)
        return True

    def of_upload(self, upload_id: str, *, key_id: str | None = None) -> FoundLater | None:
        """The newest that was found in the newest upload of that id; of one key's where `key_id`
        is given. None where nothing was."""
        newest = select(verdicts.c.id).join(uploads, uploads.c.id == verdicts.c.upload_row_id)
        newest = newest.where(uploads.c.upload_id == upload_id)
        newest = newest.order_by(verdicts.c.judged_at.desc(), verdicts.c.id.desc()).limit(1)
        if key_id is not None:
            newest = newest.where(uploads.c.key_id == key_id)
        query = _select().where(found_later.c.verdict_id == newest.scalar_subquery())
        query = query.order_by(found_later.c.number.desc()).limit(1)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else _found(row)

    def of_reviews(self, review_ids: Collection[str]) -> dict[str, FoundLater]:
        """The newest that each of the reviews was told."""
        newest: dict[str, FoundLater] = {}
        for some in rows.chunks(review_ids):
            query = _select().where(found_later.c.review_id.in_(some))
            query = query.order_by(found_later.c.number)
            for row in self._connection.execute(query).mappings():
                newest[row["review_id"]] = _found(row)
        return newest

    def list(
        self, *, key_id: str | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[list[FoundLater], str | None]:
        """A page in the order of their numbers, those after the number `after`, of one key's
        uploads where `key_id` is given; and the cursor of the next page, None at the end."""
        query = _select()
        if key_id is not None:
            query = query.join(uploads, uploads.c.id == verdicts.c.upload_row_id)
            query = query.where(uploads.c.key_id == key_id)
        if after is not None:
            query = query.where(found_later.c.number > rows.number(after))
        query = query.order_by(found_later.c.number).limit(limit + 1)
        found, more = rows.page(self._connection.execute(query).mappings().all(), limit)
        return [_found(row) for row in found], str(found[-1]["number"]) if found and more else None


def _select() -> Select[Any]:
    columns = (found_later, verdicts.c.body.label("verdict"))
    return select(*columns).join(verdicts, verdicts.c.id == found_later.c.verdict_id)


def _found(row: RowMapping) -> FoundLater:
    return FoundLater(
        number=row["number"],
        verdict=verdict_json.from_json(row["verdict"]),
        found=verdict_json.from_json(row["body"]),
        review_id=row["review_id"],
    )
