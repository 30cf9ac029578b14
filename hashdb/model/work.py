"""What is promised and done beside requests: jobs, and runs of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

BROKEN = "broken"  # beside a run's options, until it is opened again


class JobState(StrEnum):
    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Job:
    """Work that was promised to a caller and outlives the process that took it."""

    id: str
    kind: str
    key_id: str
    payload: Mapping[str, Any]
    state: JobState
    attempts: int
    created_at: datetime
    finished_at: datetime | None = None
    result: Mapping[str, Any] | None = None
    problem: Mapping[str, Any] | None = None
    run_id: str | None = None
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A walk over many things (the objects of an archive, past uploads), each of which becomes a
    job. `walked`: it came to the end; `cursor`: how far it came, where it can go on from there."""

    id: str
    kind: str
    subject: str
    options: Mapping[str, Any]
    walked: bool
    cursor: str | None
    created_at: datetime

    @property
    def broken(self) -> str | None:
        """Why the walk broke off for good; None where it did not."""
        return self.options.get(BROKEN)


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How many items a run has, and how many of them ended, by outcome."""

    listed: int
    ended: Mapping[str, int]

    @property
    def in_hand(self) -> int:
        """Items that wait, or are worked at."""
        return self.listed - sum(self.ended.values())
