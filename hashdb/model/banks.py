"""What is known: banks, references, the log of their changes, and partners' feeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from hashdb.model.prints import Digests
from hashdb.model.words import Action, MediaKind, Standing


@dataclass(frozen=True, slots=True)
class Bank:
    """A set of references that share a label and an action. `allow` makes it an allow-list."""

    id: str
    name: str
    action: Action
    label: str | None
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Reference:
    """One confirmed piece of media in one bank.

    `origin` is the partner's id of it where it came through an exchange. Withdrawn references
    stay in the table for the record, and match nothing.
    """

    id: str
    bank: Bank
    kind: MediaKind
    digests: Digests
    source: str | None
    origin: str | None
    duration_s: float | None
    frames: int
    standing: Standing
    enabled: bool
    added_at: datetime
    withdrawn_at: datetime | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def enforceable(self) -> bool:
        """Whether a match with it may count."""
        return self.enabled and self.withdrawn_at is None and self.bank.enabled


class ChangeKind(StrEnum):
    ADD = "add"
    WITHDRAW = "withdraw"
    ENABLE = "enable"
    DISABLE = "disable"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the append-only change log. `number` rises in the order of commits."""

    number: int
    kind: ChangeKind
    reference_id: str
    bank_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Exchange:
    """A partner's feed that is read into a bank, and how far it was read."""

    id: str
    partner: str
    bank_id: str
    checkpoint: str | None
    synced_at: datetime | None
