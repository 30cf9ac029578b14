"""What is sent and answered over HTTP, as pydantic models: the API's document is made of them.

Requests refuse what they do not know. No text may hold control characters (PostgreSQL takes no
NUL), no number may be infinite or not a number.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    JsonValue,
    StringConstraints,
    model_validator,
)

from hashdb.model import Action, JobState, MediaKind, Role, Standing, View

MAX_FRAMES = 200_000
MAX_METADATA = 16 * 1024
MAX_SECONDS = 1e7  # 115 days

_PRINTABLE = r"^[^\x00-\x1f\x7f]*$"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Ident = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
UploadId = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x20\x7f]+$")
]
Label = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_PRINTABLE)]
Line = Annotated[str, StringConstraints(max_length=1000, pattern=_PRINTABLE)]
Words = Annotated[str, StringConstraints(max_length=10_000, pattern=r"^[^\x00]*$")]
Cursor = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[!-~]+$")]


def _whole(value: object) -> object:
    """To JSON Schema 21.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Probability = Annotated[float, Field(ge=0, le=1)]
Limit = Annotated[int, Field(ge=1, le=1000)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
Md5 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{32}$")]
Hex256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{16}$")]


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("no number may be infinite or not a number") from None
    if len(text) > MAX_METADATA:
        raise ValueError(f"is longer than {MAX_METADATA} bytes of JSON")
    if "\\u0000" in text:
        raise ValueError("no text may hold NUL")
    return value


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_storable)]


class In(BaseModel):
    """A request: strict about types, closed to unknown members."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class TextIn(BaseModel):
    """A query or a form: every value arrives as text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class Out(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _given(*choices: dict[str, JsonValue]) -> list[JsonValue]:
    """JSON Schema for members that must be there and be as given, one choice each."""
    return [{"required": list(choice), "properties": choice} for choice in choices]


def _never_null(schema: dict[str, Any]) -> None:
    """A member that may be left out, and may not be null."""
    schema.update(next(option for option in schema.pop("anyOf") if option != {"type": "null"}))
    schema.pop("default", None)


_TEXT: JsonValue = {"type": "string"}

# Fingerprints, in and out


class _FrameIn(In):
    offset: Seconds = Field(description="presentation time in seconds")
    quality: Whole = Field(100, ge=0, le=100)
    span: Seconds = Field(0.0, description="seconds for which near-identical frames follow")


class Frame256In(_FrameIn):
    hash: Hex256 = Field(description="most significant bit first")


class Frame64In(_FrameIn):
    hash: Hex64 = Field(description="most significant bit first")


class _FramesIn(In):
    pipeline: Ident = Field("unknown", description="version of the way from pixels to codes")
    track: Whole = Field(0, ge=0, le=63)
    view: View = Field(View.FULL, description="whole picture, or borders cut off")


class PdqIn(_FramesIn):
    signal_type: Literal["pdq"]
    frames: list[Frame256In] = Field(min_length=1, max_length=MAX_FRAMES)


class PhashIn(_FramesIn):
    signal_type: Literal["phash"]
    frames: list[Frame64In] = Field(min_length=1, max_length=MAX_FRAMES)


class VideohashIn(_FramesIn):
    signal_type: Literal["videohash"]
    frames: list[Frame64In] = Field(min_length=1, max_length=1)


class VpdqIn(In):
    """A vPDQ list as text: one line a frame, `frame_number,quality,hex,seconds`."""

    signal_type: Literal["vpdq"]
    list: str = Field(max_length=MAX_FRAMES * 120)


FingerprintIn = Annotated[
    PdqIn | PhashIn | VideohashIn | VpdqIn, Field(discriminator="signal_type")
]


class FrameOut(Out):
    offset: float
    hash: str
    quality: int
    span: float


class FingerprintOut(Out):
    signal_type: str
    pipeline: str
    track: int
    view: View
    frames: list[FrameOut]


# Judging


class ClassificationIn(In):
    label: Label
    score: Probability


class _Hashes(In):
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": _given(
                {"sha256": _TEXT},
                {"md5": _TEXT},
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
    def _something(self) -> _Hashes:
        if self.sha256 is None and self.md5 is None and not self.fingerprints:
            raise ValueError("sha256, md5 or fingerprints must be given")
        return self


class MatchHashes(_Hashes):
    """An upload that was hashed at the edge."""

    upload_id: UploadId | None = None
    classifications: list[ClassificationIn] = Field(default_factory=list, max_length=1000)
    metadata: Metadata = Field(default_factory=dict)


class MatchForm(TextIn):
    """The text fields beside the file; two of them are JSON."""

    upload_id: UploadId | None = None
    classifications: Json[Annotated[list[ClassificationIn], Field(max_length=1000)]] = Field(
        default_factory=list
    )
    metadata: Json[Metadata] = Field(default_factory=dict)


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


class SignalOut(Out):
    signal_type: str
    score: float


class MatchOut(Out):
    bank: str
    label: str | None
    reference_id: str
    score: float
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


class JobOut(Out):
    """A promise to judge: ask again until `status` is done or failed."""

    job_id: str
    status: JobState
    upload_id: str
    verdict: VerdictOut | None
    problem: ProblemOut | None
    created_at: datetime
    finished_at: datetime | None


# Banks and references


class BankNew(In):
    name: Name
    action: Action = Action.BLOCK
    label: Label | None = None


class BankChange(In):
    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    name: Name | None = Field(None, json_schema_extra=_never_null)
    action: Action | None = Field(None, json_schema_extra=_never_null)
    label: Label | None = None
    enabled: bool | None = Field(None, json_schema_extra=_never_null)

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


class ReferenceNew(_Hashes):
    """A reference by its hashes alone."""

    bank: Name = Field(description="name or id of the bank")
    source: Line | None = None
    metadata: Metadata = Field(default_factory=dict)


class ReferenceForm(TextIn):
    bank: Name = Field(description="name or id of the bank")
    source: Line | None = None
    metadata: Json[Metadata] = Field(default_factory=dict)


class ReferenceChange(In):
    enabled: bool


class ReferenceQuery(TextIn):
    bank: Name | None = Field(None, description="name or id of the bank")
    state: Literal["enabled", "disabled", "withdrawn"] | None = None
    text: Line | None = Field(None, description="part of the source, the metadata or the id")
    digest: Sha256 | Md5 | None = Field(None, description="SHA-256 or MD5 of the file")
    limit: Limit = 100
    cursor: Cursor | None = Field(None, description="`next` of the page before")


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
    frames: int
    standing: Standing
    enabled: bool
    enforceable: bool
    added_at: datetime
    withdrawn_at: datetime | None
    metadata: dict[str, Any]


class ReferenceList(Out):
    items: list[ReferenceOut]
    next: str | None


# Casework


class PageQuery(TextIn):
    limit: Limit = 100
    cursor: Cursor | None = Field(None, description="`next` of the page before")


class ReviewQuery(PageQuery):
    state: Literal["open", "claimed", "decided"] = "open"
    queue: Name | None = None


class DecisionQuery(PageQuery):
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


class ReviewList(Out):
    items: list[ReviewOut]
    next: str | None


class DecisionNew(In):
    """What a person rules; of a review, or of the one open review of an upload."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": _given({"review_id": _TEXT}, {"upload_id": _TEXT})}
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


# Exchange


class FeedQuery(TextIn):
    since: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,19}$")] | None = None
    limit: Limit = 100


class FeedAdd(Out):
    """One line of the feed (docs/exchange.md)."""

    checkpoint: str
    change: Literal["add"] = "add"
    reference_id: str
    bank: str
    label: str | None
    action: Action
    kind: MediaKind
    sha256: str | None
    md5: str | None
    duration_s: float | None
    added_at: datetime
    fingerprints: list[FingerprintOut]


class FeedWithdraw(Out):
    checkpoint: str
    change: Literal["withdraw"] = "withdraw"
    reference_id: str


# Health


class HealthOut(Out):
    status: Literal["ok"]


class ReadyOut(Out):
    ready: bool
    checks: dict[str, str]


ROLE_NAMES = tuple(r.value for r in Role)
