"""How much of an upload the sampled frames speak for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matcher.ports import MediaInfo

REACH = 1.0
"""Seconds to each side that one frame speaks for: frames at most two seconds apart cover all."""


class Reach:
    """How many seconds of one track lie within reach of its frames, which come in order."""

    def __init__(self, duration: float) -> None:
        self.duration = duration
        self.seconds = 0.0
        self._end = 0.0

    def add(self, offset: float) -> None:
        start = max(self._end, offset - REACH, 0.0)
        end = min(offset + REACH, self.duration)
        if end > start:
            self.seconds += end - start
        self._end = max(self._end, end)


def judged_seconds(offsets: Iterable[float], total_s: float) -> float:
    """Length in seconds of the union of [offset - REACH, offset + REACH] within [0, total_s].

    `offsets` must rise.
    """
    reach = Reach(total_s)
    for offset in offsets:
        reach.add(offset)
    return reach.seconds


def track_seconds(info: MediaInfo, track: int) -> float:
    """A track's seconds; the container's where the track's own are not known."""
    if track < len(info.track_durations):
        return min(info.duration, info.track_durations[track])
    return info.duration


def judged(info: MediaInfo, reaches: Mapping[int, Reach]) -> float:
    """Seconds that were looked at on the track that was looked at least."""
    missed = [
        track_seconds(info, track) - (reaches[track].seconds if track in reaches else 0.0)
        for track in range(max(info.tracks, 1))
    ]
    return max(0.0, info.duration - max(missed))
