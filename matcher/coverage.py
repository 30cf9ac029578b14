"""How much of an upload the sampled frames speak for. Pure."""

from __future__ import annotations

from collections.abc import Iterable

REACH = 1.0
"""Seconds to each side that one frame speaks for: frames at most two seconds apart cover all."""


def judged_seconds(offsets: Iterable[float], total_s: float) -> float:
    """Length in seconds of the union of [offset - REACH, offset + REACH] within [0, total_s].

    `offsets` must rise.
    """
    judged = 0.0
    end = 0.0
    for offset in offsets:
        low = max(end, min(offset - REACH, total_s))
        high = min(offset + REACH, total_s)
        if high > low:
            judged += high - low
            end = high
    return judged
