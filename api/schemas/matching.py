"""Judging: uploads in, verdicts, hashes, jobs and problems out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    Json,
    JsonValue,
    StringConstraints,
    model_validator,
)

from api.schemas.base import (
    TEXT,
    In,
    Label,
    Limit,
    Md5,
    Metadata,
    NamedOnce,
    Out,
    Probability,
    Seconds,
    Sha256,
    TextIn,
    UploadId,
    given,
)
from api.schemas.fingerprints import FingerprintIn, FingerprintOut
from hashdb.model import Action, MediaKind

SUSPICIOUS = "look closer, where the policy's `[local]` has that for such uploads only"


class ClassificationIn(In):
    label: Label
    score: Probability


class Hashes(In):
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": given(
                {"sha256": TEXT},
                {"md5": TEXT},
                {"fingerprints": {"type": "array", "minItems": 1}},
            )
        }
    )

    sha256: Sha256 | None = None
    md5: Md5 | None = None
    fingerprints: list[FingerprintIn] = Field(default_factory=list, max_length=256)
    kind: MediaKind | None = None
    duration: Seconds | None = Field(None, description="seconds of the whole, for the coverage")

    @model_validator(mode="after")
    def _something(self) -> Hashes:
        if self.sha256 is None and self.md5 is None and not self.fingerprints:
            raise ValueError("sha256, md5 or fingerprints must be given")
        return self


class MatchHashes(Hashes):
    """An upload that was hashed at the edge."""

    upload_id: UploadId | None = None
    classifications: list[ClassificationIn] = Field(default_factory=list, max_length=1000)
    metadata: Metadata = Field(default_factory=dict)
    suspicious: bool = Field(
        False, description="as of media, and without effect: hashes cannot be looked at closer"
    )
    file: JsonValue = Field(None, description="of `seawall hash --json`; not looked at")
    coverage: JsonValue = Field(None, description="of `POST /hash`; not looked at")


class MatchForm(TextIn):
    """The text fields beside the file; two of them are JSON."""

    upload_id: UploadId | None = None
    classifications: Annotated[
        Json[Annotated[list[ClassificationIn], Field(max_length=1000)]], NamedOnce
    ] = Field(default_factory=list)
    metadata: Annotated[Json[Metadata], NamedOnce] = Field(default_factory=dict)
    suspicious: bool = Field(False, description=SUSPICIOUS)


class HashForm(TextIn):
    dense: bool = Field(False, description="every frame, as references are hashed")


class ReasonOut(Out):
    code: str
    text: str
    codes: list[str]


class SpanOut(Out):
    start: float
    end: float


class SegmentOut(Out):
    query: SpanOut
    reference: SpanOut
    backwards: bool


class SignalOut(Out):
    signal_type: str
    score: float


class MatchOut(Out):
    bank: str
    label: str | None
    reference_id: str
    score: float
    score_bounds: tuple[float, float] | None
    exact: bool
    signals: list[SignalOut]
    segments: list[SegmentOut]


class CoverageOut(Out):
    judged_s: float
    total_s: float
    frames: int
    flat_frames: int
    truncated: bool


class ClassificationOut(Out):
    label: str
    score: float
    source: str


class VerdictOut(Out):
    """What the machine concluded of one upload."""

    upload_id: str
    action: Action
    reason: ReasonOut
    matches: list[MatchOut]
    coverage: CoverageOut
    classifications: list[ClassificationOut]
    policy_version: str
    timings_ms: dict[str, float]
    judged_at: datetime


class RulingOut(Out):
    """What a person ruled on an upload."""

    action: Action
    label: str | None
    at: datetime


class FoundLaterOut(Out):
    """What a look-back concluded of the upload after its verdict, by what was known then."""

    action: Action
    reason: ReasonOut
    matches: list[MatchOut]
    new_references: list[str] = Field(description="those that the verdict did not name")
    policy_version: str
    found_at: datetime


class VerdictRead(VerdictOut):
    """A verdict as it was given, what a look-back found since, and what a person ruled since."""

    found_later: FoundLaterOut | None
    decision: RulingOut | None


class FoundLaterItem(Out):
    """An upload in which something was found after its verdict."""

    number: str = Field(description="`cursor` for what comes after it")
    upload_id: str
    verdict: VerdictOut
    found_later: FoundLaterOut
    review_id: str


class FoundLaterList(Out):
    items: list[FoundLaterItem]
    next: str | None


class FoundLaterQuery(TextIn):
    limit: Limit = 100
    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")] | None = Field(
        None,
        description="`next` of the page before, or the `number` of the last item read",
    )


class TimelineQuery(TextIn):
    of: Literal["verdict", "found_later"] = Field(
        "verdict", description="what the machine concluded, or what a look-back found since"
    )


class HashOut(Out):
    kind: MediaKind
    sha256: str
    md5: str
    duration: float
    coverage: CoverageOut
    fingerprints: list[FingerprintOut]


class FieldErrorOut(Out):
    pointer: str
    detail: str


class ProblemOut(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldErrorOut] | None = None
    request_id: str | None = None
