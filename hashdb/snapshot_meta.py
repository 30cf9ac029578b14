"""What a snapshot says of itself, and what that says of its use."""

from __future__ import annotations

from enum import StrEnum

VERSION = 5  # of what meta and arrays mean; the file format has its own


class SnapshotState(StrEnum):
    """What there is of a snapshot. One that is some changes behind is good: they are caught up."""

    GOOD = "good"
    DAMAGED = "damaged"  # or it cannot be read
    MISSING = "missing"
    STALE = "stale"  # whole, but of another version, another database or another past of this one
