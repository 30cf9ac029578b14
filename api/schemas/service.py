"""The exchange feed, and health."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import StringConstraints

from api.schemas.base import Limit, Out, TextIn
from api.schemas.fingerprints import FingerprintOut
from hashdb.model import Action, MediaKind


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
