"""What an alignment's evidence says, as one score and as segments. Pure.

The score is a probability on a log-odds scale, not yet calibrated: a prior against, plus what
each distinct picture says for it. So one number means the same for an image (one picture), a
short clip (a few) and a film (many), and a still scene counts as the one picture that it is.
docs/decisions/0009-one-score.md says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hashdb.model import (
    Alignment,
    Floats,
    FrameMatch,
    Match,
    Reference,
    Segment,
    SegmentPair,
    Signal,
)

PRIOR = -3.0
"""Log-odds that a reference which was hit at all is shown: about 1 in 20, before any distance."""

UNSURE = 18
"""Bits of PDQ at which one picture alone has a score of 0.78."""

LONE = 0.12
"""What a picture's evidence is worth where no others agree with it in time."""

TOLERANCE = 0.35
"""Seconds by which a hit may lie off its line: half a query's finest sampling, and rounding."""


@dataclass(frozen=True, slots=True)
class Weight:
    """What one picture at Hamming distance d says: `at_zero * (1 - d / vanishes)` in log-odds."""

    at_zero: float
    vanishes: float

    def of(self, distances: NDArray[np.int64]) -> Floats:
        return np.maximum(0.0, self.at_zero * (1.0 - distances / self.vanishes))


WEIGHTS = {
    "pdq": Weight(6.5, 52.0),
    # 64 bits: one picture alone must never reach a policy's thresholds (chance hits are real).
    "phash": Weight(2.2, 12.0),
    "videohash": Weight(3.5, 7.0),
    "sound": Weight(6.5, 100.0),  # its distances are `matcher.heard.alignment`'s
    "local": Weight(6.5, 100.0),  # its distance is `matcher.localize.distance_of`
    # What looks alike is not the same: `matcher.described` asks for three distinct pictures, and
    # one alone stays below a policy's thresholds.
    "neural": Weight(2.2, 100.0),  # its distances are `matcher.described.Levels.distances`
}

_SHARPEST = ("sha256", "md5", "pdq", "phash", "local", "videohash", "sound", "neural")


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, x))))


def rescore(alignment: Alignment, frames: Sequence[FrameMatch], *, video: bool) -> Alignment | None:
    """The same alignment with the given frames as its only evidence; None where none is left."""
    if not frames:
        return None
    ordered = tuple(sorted(frames, key=lambda f: (f.track, f.offset)))
    return replace(
        alignment,
        frames=ordered,
        segments=_segments(ordered) if video else _still_segment(ordered),
        score=score(alignment.signal_type, ordered),
    )


def not_sure(alignment: Alignment) -> Alignment:
    """The same alignment with no frame so close that one alone makes it confident."""
    frames = [replace(f, distance=max(f.distance, UNSURE)) for f in alignment.frames]
    video = any(p.query.seconds > 0 for p in alignment.segments)
    return rescore(alignment, frames, video=video) or alignment


def as_match(
    reference: Reference,
    alignments: Sequence[Alignment],
    exact: Sequence[str] = (),
    whole: SegmentPair | None = None,
) -> Match:
    """One reference's alignments (and the digests that are equal) as one match.

    The score is the best alignment's, each signal's its own best one's. The segments are the best
    alignment's (of equally good ones, hashes', whose ends are the sharpest), made longer where
    others continue them, and others' where they speak of other times; of an exact match, `whole`.
    """
    ranked = sorted(
        alignments,
        key=lambda a: (-round(a.score, 2), _SHARPEST.index(a.signal_type), a.orientation.value),
    )
    best: dict[str, float] = dict.fromkeys(exact, 1.0)
    for alignment in ranked:
        best.setdefault(alignment.signal_type, alignment.score)
    segments: list[SegmentPair] = [whole] if whole else []
    for alignment in ranked:
        for pair in alignment.segments:
            beside = [p for p in segments if _overlap(p.query, pair.query)]
            if not beside:
                segments.append(pair)
            elif len(beside) == 1 and _continues(beside[0], pair):
                segments[segments.index(beside[0])] = _union(beside[0], pair)
    return Match(
        reference,
        score=max(best.values()),
        signals=tuple(Signal(name, value) for name, value in best.items()),
        segments=tuple(sorted(segments, key=lambda p: (p.query.start, p.query.end))),
        alignments=tuple(ranked),
    )


def _overlap(one: Segment, other: Segment) -> bool:
    return one.start <= other.end and other.start <= one.end


def _continues(one: SegmentPair, other: SegmentPair) -> bool:
    """Whether both lie on one line of time."""
    return all(
        abs(getattr(other.reference, end) - _at(one, getattr(other.query, end))) <= 1.0
        for end in ("start", "end")
    )


def _at(pair: SegmentPair, moment: float) -> float:
    """The reference's moment at a moment of the query, on the pair's line."""
    speed = pair.reference.seconds / pair.query.seconds if pair.query.seconds > 0 else 1.0
    return pair.reference.start + speed * (moment - pair.query.start)


def _union(one: SegmentPair, other: SegmentPair) -> SegmentPair:
    """Both stretches of the query, and what the reference shows then on the line of the longer."""
    longer = one if one.query.seconds >= min(1.0, other.query.seconds) else other
    query = Segment(min(one.query.start, other.query.start), max(one.query.end, other.query.end))
    low, high = sorted(max(0.0, _at(longer, end)) for end in (query.start, query.end))
    return SegmentPair(query, Segment(low, high))


def score(signal_type: str, frames: Sequence[FrameMatch]) -> float:
    """0 to 1 from the evidence of distinct pictures; see the module's text.

    A group of look-alike frames counts once, by its closest one. A picture counts in full where
    its line says more than any few hits would by chance (`_agrees`), else by `LONE`; the closest
    one counts in full always.
    """
    distances = np.array([f.distance for f in frames], dtype=np.int64)
    weights = WEIGHTS[signal_type].of(distances)
    agreeing = agreeing_lines(frames)
    best: dict[int, float] = {}
    for frame, weight in zip(frames, weights, strict=True):
        share = 1.0 if frame.line in agreeing else LONE
        best[frame.group] = max(best.get(frame.group, 0.0), float(weight) * share)
    total = sum(best.values())
    alone = float(weights.max())
    return sigmoid(PRIOR + max(total, alone))


def agreeing_lines(frames: Sequence[FrameMatch]) -> set[int]:
    """The numbers of the lines whose hits agree in time."""
    lines: dict[int, list[FrameMatch]] = {}
    for frame in frames:
        lines.setdefault(frame.line, []).append(frame)
    return {number for number, on_line in lines.items() if _agrees(on_line)}


def _agrees(frames: Sequence[FrameMatch]) -> bool:
    """Whether the hits on a line agree in time. Through any two hits goes a line of some speed, so
    two distinct pictures agree only at about normal speed, and three at any."""
    groups = len({f.group for f in frames})
    if groups != 2:
        return groups > 2
    first, last = min(frames, key=lambda f: f.offset), max(frames, key=lambda f: f.offset)
    seconds = last.offset - first.offset
    moved = last.reference_offset - first.reference_offset
    return abs(moved - seconds) <= max(2 * TOLERANCE, 0.1 * seconds)


def _still_segment(frames: Sequence[FrameMatch]) -> tuple[SegmentPair, ...]:
    best = min(frames, key=lambda f: f.distance)
    at = best.reference_offset
    return (SegmentPair(Segment(0.0, 0.0), Segment(at, at)),)


def _segments(frames: Sequence[FrameMatch]) -> tuple[SegmentPair, ...]:
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
    """Seconds between two matched samples that still count as one stretch: one sample missed in a
    sparse look, a second in a dense one."""
    return max(1.0, 2.2 * (one.after + other.before))


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
    return SegmentPair(Segment(start, end), Segment(low, high))
