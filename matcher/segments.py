"""Stretches of an upload that show stretches of a reference: made of matched frames, and joined
where several signals tell of one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hashdb.model import FrameMatch, Segment, SegmentPair

MEET_S = 0.01
"""Seconds that stretches of two pieces which meet may share."""

LONGEST_GAP_S = 2.5
"""Seconds without a match between matches on one line of time that show the same footage still."""

BACKWARDS_S = 0.5
"""Seconds of the reference from which on pictures tell that they are shown backwards: those of a
still scene lie at one moment or another of it."""


def still_segment(frames: Sequence[FrameMatch]) -> tuple[SegmentPair, ...]:
    best = min(frames, key=lambda f: f.distance)
    at = best.reference_offset
    return (SegmentPair(Segment(0.0, 0.0), Segment(at, at)),)


def segments_of(frames: Sequence[FrameMatch]) -> tuple[SegmentPair, ...]:
    """Runs of matched frames of one line, cut where more than a sampling gap lies between."""
    pairs: list[SegmentPair] = []
    lines = sorted({(f.track, f.line) for f in frames})
    for track, line in lines:
        run: list[FrameMatch] = []
        for frame in (f for f in frames if f.line == line and f.track == track):
            if run and frame.offset - run[-1].offset > _longest_gap(run[-1], frame):
                pairs.append(_pair(run))
                run = []
            run.append(frame)
        pairs.append(_pair(run))
    return tuple(sorted(pairs, key=lambda p: (p.query.start, p.query.end)))


def _longest_gap(one: FrameMatch, other: FrameMatch) -> float:
    """Seconds between two matched samples of one line that still count as one stretch: some frames
    that are blurred, or covered, or one sample missed in a sparse look."""
    return max(LONGEST_GAP_S, 2.2 * (one.after + other.before))


def _pair(run: Sequence[FrameMatch]) -> SegmentPair:
    """One run's segments: the reference's from the line through all of its moments, since each
    single one may lie anywhere in a picture's span."""
    first, last = run[0], run[-1]
    start, end = first.offset - first.before, last.offset + last.after
    t = np.array([f.offset for f in run])
    moments = np.array([f.reference_offset for f in run])
    if len(run) > 2 and float(np.ptp(t)) > 1.0:
        speed, offset = (float(x) for x in np.polyfit(t, moments, 1))
    else:
        seconds = last.offset - first.offset
        moved = last.reference_offset - first.reference_offset
        speed = moved / seconds if seconds > 0 else 1.0
        offset = first.reference_offset - speed * first.offset
    low, high = sorted((max(0.0, speed * start + offset), max(0.0, speed * end + offset)))
    backwards = speed < 0 and high - low >= BACKWARDS_S
    return SegmentPair(Segment(start, end), Segment(low, high), backwards)


def overlap(one: Segment, other: Segment) -> bool:
    """Whether they share more than an end, where two pieces of footage may meet."""
    return min(one.end, other.end) - max(one.start, other.start) > MEET_S


def leads_on(one: SegmentPair, other: SegmentPair) -> bool:
    """Whether they meet, on one line of time."""
    meet = one.query.start <= other.query.end and other.query.start <= one.query.end
    return meet and continues(one, other)


def continues(one: SegmentPair, other: SegmentPair) -> bool:
    """Whether both lie on one line of time."""
    ends = (other.query.start, other.query.end)
    return all(abs(_at(other, at) - _at(one, at)) <= 1.0 for at in ends)


def _at(pair: SegmentPair, moment: float) -> float:
    """The reference's moment at a moment of the query, on the pair's line."""
    speed = pair.reference.seconds / pair.query.seconds if pair.query.seconds > 0 else 1.0
    if pair.backwards:
        return pair.reference.end - speed * (moment - pair.query.start)
    return pair.reference.start + speed * (moment - pair.query.start)


def union(one: SegmentPair, other: SegmentPair) -> SegmentPair:
    """Both stretches of the query, and what the reference shows then on the line of the longer."""
    longer = one if one.query.seconds >= min(1.0, other.query.seconds) else other
    query = Segment(min(one.query.start, other.query.start), max(one.query.end, other.query.end))
    low, high = sorted(max(0.0, _at(longer, end)) for end in (query.start, query.end))
    return SegmentPair(query, Segment(low, high), longer.backwards)
