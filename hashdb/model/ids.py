"""Moments and ids."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


_id_lock = threading.Lock()
_last_id = 0


def new_id(prefix: str) -> str:
    """A new id such as `ref_0193a5...`: RFC 9562 UUIDv7 in hex. Ids sort by their making: those of
    one process always (section 6.2, monotonic random), others to the millisecond."""
    global _last_id
    stamp = int(time.time() * 1000)
    tail = int.from_bytes(os.urandom(10))
    value = (stamp << 80) | (0x7 << 76) | ((tail >> 2) & ((1 << 76) - 1))
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    with _id_lock:
        _last_id = value = value if value > _last_id else _last_id + 1
    return f"{prefix}_{value:032x}"


def first_id(prefix: str, at: datetime) -> str:
    """Lower than every id that is made at `at` or later, higher than those made a millisecond or
    more before: what is older than a moment is found by the ids alone."""
    return f"{prefix}_{int(at.timestamp() * 1000) << 80:032x}"
