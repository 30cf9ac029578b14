"""Reviews that wait for a person, and what people ruled."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update
from sqlalchemy.exc import IntegrityError

from hashdb.errors import AlreadyDecided, BadArgument, Conflict, NotFound
from hashdb.model import Action, Decision, Review, new_id, now
from hashdb.store import rows
from hashdb.tables import decisions, reviews, uploads, verdicts

ReviewState = Literal["open", "claimed", "decided"]


class Casework:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def open_review(self, verdict_id: str, upload_id: str, *, queue: str = "default") -> Review:
        """A review of a verdict; the open one, where there is one."""
        review = Review(new_id("rev"), upload_id, verdict_id, queue, opened_at=now())
        values = {
            "id": review.id,
            "verdict_id": verdict_id,
            "upload_id": upload_id,
            "queue": queue,
            "opened_at": review.opened_at,
        }
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(reviews), values)
        except IntegrityError:
            undecided = and_(reviews.c.verdict_id == verdict_id, reviews.c.decided_at.is_(None))
            row = self._connection.execute(select(reviews).where(undecided)).mappings().first()
            if row is None:
                raise NotFound(f"there is no verdict {verdict_id!r}") from None
            return rows.review(row)
        return review

    def open_review_of(self, key_id: str, upload_id: str, *, queue: str = "default") -> Review:
        """A review of the verdict on a key's upload, whatever its action; the open one, where
        there is one. `NotFound` where the upload was never judged."""
        query = (
            select(verdicts.c.id)
            .join(uploads, uploads.c.id == verdicts.c.upload_row_id)
            .where(uploads.c.key_id == key_id, uploads.c.upload_id == upload_id)
        )
        verdict_id = self._connection.scalar(query)
        if verdict_id is None:
            raise NotFound(f"there is no verdict on upload {upload_id!r}")
        return self.open_review(verdict_id, upload_id, queue=queue)

    def review(self, review_id: str) -> Review:
        """The review, decided or not; `NotFound` where there is none."""
        query = select(reviews).where(reviews.c.id == review_id)
        row = self._connection.execute(query).mappings().first()
        if row is None:
            raise NotFound(f"there is no review {review_id!r}")
        return rows.review(row)

    def reviews(
        self,
        *,
        state: ReviewState | None = None,
        queue: str | None = None,
        upload_id: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> tuple[list[Review], str | None]:
        """A page of reviews, oldest first, and the cursor (`after`) of the next page, None at the
        end. `open` ones wait for someone, `claimed` ones are with someone."""
        query = select(reviews)
        if state is not None:
            query = query.where(_in_state(state))
        if queue is not None:
            query = query.where(reviews.c.queue == queue)
        if upload_id is not None:
            query = query.where(reviews.c.upload_id == upload_id)
        if after is not None:
            query = query.where(reviews.c.id > after)
        query = query.order_by(reviews.c.id).limit(limit + 1)
        found, more = rows.page(self._connection.execute(query).mappings().all(), limit)
        return [rows.review(row) for row in found], found[-1]["id"] if found and more else None

    def claim(self, review_id: str, reviewer: str) -> Review:
        """Gives a review to one person. Claiming one's own again changes nothing; `Conflict`
        where another has it, `AlreadyDecided` where it is done, `NotFound`."""
        statement = (
            update(reviews)
            .where(reviews.c.id == review_id, reviews.c.decided_at.is_(None))
            .where(reviews.c.claimed_by.is_(None))
            .values(claimed_by=reviewer, claimed_at=now())
        )
        self._connection.execute(statement)
        review = self.review(review_id)
        if self._decided(review_id):
            raise AlreadyDecided(f"review {review_id} has a decision")
        if review.claimed_by != reviewer:
            raise Conflict(f"review {review_id} is claimed by {review.claimed_by}")
        return review

    def release(self, review_id: str, reviewer: str) -> Review:
        """Gives a claimed review back to its queue; nothing changes where another has it."""
        statement = (
            update(reviews)
            .where(reviews.c.id == review_id, reviews.c.decided_at.is_(None))
            .where(reviews.c.claimed_by == reviewer)
            .values(claimed_by=None, claimed_at=None)
        )
        self._connection.execute(statement)
        return self.review(review_id)

    def decide(
        self, review_id: str, action: Action, label: str | None, reviewer: str, rationale: str
    ) -> Decision:
        """What a person ruled. Raises `AlreadyDecided`, `NotFound`."""
        review = self.review(review_id)
        made = Decision(
            new_id("dec"), review_id, review.upload_id, action, label, reviewer, rationale, now()
        )
        values = {
            "id": made.id,
            "review_id": review_id,
            "upload_id": made.upload_id,
            "action": action.value,
            "label": label,
            "reviewer": reviewer,
            "rationale": rationale,
            "at": made.at,
        }
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(decisions), values)
        except IntegrityError:
            raise AlreadyDecided(f"review {review_id} has a decision") from None
        done = update(reviews).where(reviews.c.id == review_id).values(decided_at=made.at)
        self._connection.execute(done)
        return made

    def decisions(
        self, *, limit: int = 100, after: str | None = None, upload_id: str | None = None
    ) -> tuple[list[Decision], str | None]:
        """A page of decisions, oldest first, and the cursor of the next page, None at the end."""
        query = select(decisions)
        if upload_id is not None:
            query = query.where(decisions.c.upload_id == upload_id)
        if after is not None:
            query = query.where(decisions.c.id > after)
        query = query.order_by(decisions.c.id).limit(limit + 1)
        found, more = rows.page(self._connection.execute(query).mappings().all(), limit)
        return [rows.decision(row) for row in found], found[-1]["id"] if found and more else None

    def decision_on(self, upload_id: str, *, key_id: str | None = None) -> Decision | None:
        """The newest decision on the newest verdict under an upload id; of one key's upload where
        `key_id` is given. None where there is none."""
        newest = (
            select(verdicts.c.id)
            .join(uploads, uploads.c.id == verdicts.c.upload_row_id)
            .where(uploads.c.upload_id == upload_id)
            .order_by(verdicts.c.judged_at.desc(), verdicts.c.id.desc())
            .limit(1)
        )
        if key_id is not None:
            newest = newest.where(uploads.c.key_id == key_id)
        query = (
            select(decisions)
            .join(reviews, reviews.c.id == decisions.c.review_id)
            .where(reviews.c.verdict_id == newest.scalar_subquery())
            .order_by(decisions.c.id.desc())
            .limit(1)
        )
        row = self._connection.execute(query).mappings().first()
        return None if row is None else rows.decision(row)

    def decision_of(self, review_id: str) -> Decision | None:
        """What was ruled on a review; None where nobody has."""
        query = select(decisions).where(decisions.c.review_id == review_id)
        row = self._connection.execute(query).mappings().first()
        return None if row is None else rows.decision(row)

    def _decided(self, review_id: str) -> bool:
        return self.decision_of(review_id) is not None


def _in_state(state: ReviewState) -> ColumnElement[bool]:
    decided, claimed = reviews.c.decided_at.is_not(None), reviews.c.claimed_by.is_not(None)
    if state == "decided":
        return decided
    if state == "claimed":
        return and_(~decided, claimed)
    if state == "open":
        return and_(~decided, ~claimed)
    raise BadArgument(f"{state!r}: a review is open, claimed or decided")
