"""Promises, the exchange feed, and health."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import StringConstraints

from api.schemas.banks import ReferenceOut
from api.schemas.base import Limit, Out, TextIn
from api.schemas.fingerprints import FingerprintOut
from api.schemas.matching import ProblemOut, VerdictOut
from hashdb.model import Action, JobState, MediaKind


class JobOut(Out):
    """A promise to judge or to enrol: ask again until `status` is done or failed. `upload_id` and
    `verdict` are those of an upload, `reference` is that of a promised place in a bank."""

    job_id: str
    status: JobState
    upload_id: str | None
    verdict: VerdictOut | None
    reference: ReferenceOut | None
    problem: ProblemOut | None
    created_at: datetime
    finished_at: datetime | None


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


class HealthOut(Out):
    status: Literal["ok"]


class ReadyOut(Out):
    ready: bool
    checks: dict[str, str]
