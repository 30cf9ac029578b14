"""Banks and references."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, Json, StringConstraints, model_validator

from api.schemas.base import (
    In,
    Label,
    Limit,
    Line,
    Metadata,
    Name,
    NamedOnce,
    Out,
    Sha256OrMd5,
    TextIn,
    cursor_pattern,
    never_null,
)
from api.schemas.matching import Hashes
from hashdb.model import Action, MediaKind, Standing


class BankNew(In):
    name: Name
    action: Action = Action.BLOCK
    label: Label | None = None


class BankChange(In):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    name: Name | None = Field(None, json_schema_extra=never_null)
    action: Action | None = Field(None, json_schema_extra=never_null)
    label: Label | None = None
    enabled: bool | None = Field(None, json_schema_extra=never_null)

    @model_validator(mode="after")
    def _something(self) -> BankChange:
        if not self.model_fields_set:
            raise ValueError("nothing to change was sent")
        if nulls := [n for n in self.model_fields_set - {"label"} if getattr(self, n) is None]:
            raise ValueError(f"{nulls[0]} may not be null")
        return self


class BankOut(Out):
    id: str
    name: str
    action: Action
    label: str | None
    enabled: bool
    created_at: datetime


class BankList(Out):
    items: list[BankOut]


class ReferenceNew(Hashes):
    """A reference by its hashes alone."""

    bank: Name = Field(description="name or id of the bank")
    source: Line | None = None
    metadata: Metadata = Field(default_factory=dict)


class ReferenceForm(TextIn):
    bank: Name = Field(description="name or id of the bank")
    source: Line | None = None
    metadata: Annotated[Json[Metadata], NamedOnce] = Field(default_factory=dict)


class ReferenceChange(In):
    enabled: bool


ReferenceCursor = Annotated[str, StringConstraints(pattern=cursor_pattern("ref"))]


class ReferenceQuery(TextIn):
    bank: Name | None = Field(None, description="name or id of the bank")
    state: Literal["enabled", "disabled", "withdrawn"] | None = None
    text: Line | None = Field(None, description="part of the source, the metadata or the id")
    digest: Sha256OrMd5 | None = Field(None, description="SHA-256 or MD5 of the file")
    limit: Limit = 100
    cursor: ReferenceCursor | None = Field(None, description="`next` of the page before")


class ReferenceOut(Out):
    id: str
    bank: str
    bank_id: str
    kind: MediaKind
    sha256: str | None
    md5: str | None
    source: str | None
    origin: str | None
    duration_s: float | None
    frames: int = Field(
        description="hashes of pictures that are kept; at 0 (all was flat, or it came as a digest) "
        "only the very same file matches, and what has its sound"
    )
    standing: Standing = Field(
        description="negative: a moderator withdrew it, so that no partner's list brings it back"
    )
    enabled: bool
    enforceable: bool
    added_at: datetime
    withdrawn_at: datetime | None
    metadata: dict[str, Any]


class ReferenceList(Out):
    items: list[ReferenceOut]
    next: str | None
