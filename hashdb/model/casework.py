"""What people do: reviews and decisions, and the record of who did what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hashdb.model.words import Action, Role


@dataclass(frozen=True, slots=True)
class Review:
    """A verdict that waits for a person."""

    id: str
    upload_id: str
    verdict_id: str
    queue: str
    opened_at: datetime
    claimed_by: str | None = None
    claimed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person ruled on a review."""

    id: str
    review_id: str
    upload_id: str
    action: Action
    label: str | None
    reviewer: str
    rationale: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, without its secret: `secret_hash` stays in the store."""

    id: str
    name: str
    role: Role
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, and when."""

    at: datetime
    actor: str
    act: str
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)
