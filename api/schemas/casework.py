"""Reviews, decisions, the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from api.schemas.base import (
    TEXT,
    Ident,
    In,
    Label,
    Limit,
    Line,
    Name,
    Out,
    TextIn,
    UploadId,
    Words,
    cursor_pattern,
    given,
)
from api.schemas.matching import FoundLaterOut, VerdictOut
from hashdb.model import Action

ReviewCursor = Annotated[str, StringConstraints(pattern=cursor_pattern("rev"))]
DecisionCursor = Annotated[str, StringConstraints(pattern=cursor_pattern("dec"))]


class PageQuery(TextIn):
    limit: Limit = 100


class ReviewQuery(PageQuery):
    cursor: ReviewCursor | None = Field(None, description="`next` of the page before")
    state: Literal["open", "claimed", "decided"] = "open"
    queue: Name | None = None


class DecisionQuery(PageQuery):
    cursor: DecisionCursor | None = Field(None, description="`next` of the page before")
    upload_id: UploadId | None = None


class AuditQuery(PageQuery):
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")] | None = Field(
        None, description="`next` of the page before"
    )
    subject: Line | None = None


class ReviewOut(Out):
    id: str
    upload_id: str
    queue: str
    opened_at: datetime
    claimed_by: str | None
    claimed_at: datetime | None
    found_later: FoundLaterOut | None = Field(
        description="what a look-back found after the verdict; null where none brought it up"
    )


class ReviewRead(ReviewOut):
    """A review with what there is to rule on."""

    verdict: VerdictOut
    decision: DecisionOut | None


class ReviewList(Out):
    items: list[ReviewOut]
    next: str | None


class DecisionNew(In):
    """What a person rules; of a review, or of the one open review of an upload."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": given({"review_id": TEXT}, {"upload_id": TEXT})}
    )

    review_id: Ident | None = None
    upload_id: UploadId | None = None
    action: Action
    label: Label | None = None
    rationale: Words

    @model_validator(mode="after")
    def _one(self) -> DecisionNew:
        if (self.review_id is None) == (self.upload_id is None):
            raise ValueError("either review_id or upload_id must be given")
        return self


class EraseQuery(TextIn):
    key_id: Ident | None = Field(None, description="whose it is, where several keys have it")


class ErasedOut(Out):
    """Of what was erased this much is told, here and in the audit."""

    upload_id: str
    key_id: str
    action: Action | None = Field(description="of its verdict; null where there was none yet")
    decisions: list[str] = Field(description="ids of the decisions that went with it")


class DecisionOut(Out):
    id: str
    review_id: str
    upload_id: str
    action: Action
    label: str | None
    reviewer: str
    rationale: str
    at: datetime


class DecisionList(Out):
    items: list[DecisionOut]
    next: str | None


class AuditOut(Out):
    at: datetime
    actor: str
    act: str
    subject: str
    detail: dict[str, Any]


class AuditList(Out):
    items: list[AuditOut]
    next: str | None
