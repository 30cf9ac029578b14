"""Hits into alignments: which of them agree in time, and how much that says. Pure.

A copy shows the reference's moments in order, at one speed: its hits lie on a line
`reference = speed * query + offset`. Lines are found by a Hough vote over speed and offset (Hough
1962; for copies: Douze et al., "An image-based approach to video copy detection with
spatio-temporal post-filtering", IEEE Trans. Multimedia 2010), with the exact best offset for each
speed by a sweep, then refined by least squares on the hits that agree.

The score is a probability on a log-odds scale, not yet calibrated: a prior against, plus what
each distinct picture says for it. So one number means the same for an image (one picture), a
short clip (a few) and a film (many), and a still scene counts as the one picture that it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hashdb.model import (
    Alignment,
    Codes,
    Fingerprint,
    Floats,
    FrameMatch,
    Ints,
    Match,
    Reference,
    Segment,
    SegmentPair,
    Signal,
)

PRIOR = -3.0
"""Log-odds that a reference which was hit at all is shown: about 1 in 20, before any distance."""

LONE = 0.12
"""What a picture's evidence is worth where no others agree with it in time."""

MAX_GROUPS = 64
"""Distinct pictures counted: the score has long been 1 by then."""

ALIKE = {"pdq": 46, "phash": 8}
"""Bits within which two frames of the query are the same picture."""

MAX_LINES = 12
TOLERANCE = 0.35
"""Seconds by which a hit may lie off its line: half a query's finest sampling, and rounding."""

LINGERS = 1.5
NEARLY = 6
"""A picture that the reference shows for so many seconds elsewhere, within so many bits of its
distance, is a still scene's: all such pictures of an alignment count as one."""

STILL = -1
"""The group of a still scene's pictures."""

REACH = 1.0
"""Seconds to each side that one sampled frame speaks for."""

SPEEDS: Floats = np.concatenate(
    [
        [1.0],
        [s for s in 2.0 ** np.linspace(-1.1, 1.1, 45) if abs(s - 1.0) > 1e-9],
        [-1.0, 0.0],
    ]
)
"""0.47 to 2.14 in steps of 3.4 %, reversed footage, and a frozen picture; normal speed first."""


@dataclass(frozen=True, slots=True)
class Weight:
    """What one picture at Hamming distance d says: `at_zero * (1 - d / vanishes)` in log-odds."""

    at_zero: float
    vanishes: float

    def of(self, distances: NDArray[np.int64]) -> Floats:
        return np.maximum(0.0, self.at_zero * (1.0 - distances / self.vanishes))


WEIGHTS = {
    "pdq": Weight(6.0, 52.0),
    # 64 bits: one picture alone must never reach a policy's thresholds (chance hits are real).
    "phash": Weight(2.2, 12.0),
    "videohash": Weight(3.5, 7.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class FrameHits:
    """One query fingerprint's hits in one reference, one row a hit.

    `queries` (k,) int64: row of the query's codes; `offsets`, `spans` (k,) float64: the
    reference's time and for how long its picture stays so, seconds; `distances` (k,) int64, bits.
    """

    queries: Ints
    offsets: Floats
    spans: Floats
    distances: Ints

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: NDArray[np.bool_] | Ints) -> FrameHits:
        return FrameHits(
            self.queries[rows], self.offsets[rows], self.spans[rows], self.distances[rows]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """`reference = speed * query + offset`, and the hits that lie on it (one a query frame)."""

    speed: float
    hits: FrameHits
    moments: Floats


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, x))))


def upper_bound(signal_type: str, hits: FrameHits) -> float:
    """The best score that these hits could have: every query frame distinct, all in agreement."""
    best = np.zeros(int(hits.queries.max(initial=-1)) + 1)
    np.maximum.at(best, hits.queries, WEIGHTS[signal_type].of(hits.distances))
    return sigmoid(PRIOR + float(best.sum()))


def align(
    reference_id: str, query: Fingerprint, hits: FrameHits, *, still: bool, total_s: float
) -> Alignment | None:
    """The reference's footage in the query, or None where the hits say nothing.

    `still`: the reference is an image, which has no time to agree with. `total_s`: the query's
    duration in seconds, 0 for an image. Hits may come in any order.
    """
    weight = WEIGHTS[query.signal_type]
    merged = rest = _merge_neighbours(hits)
    lines: list[Line] = []
    while len(rest) and len(lines) < MAX_LINES:
        line = _best_line(query.offsets, rest, weight, still=still)
        lines.append(line)
        on_line = np.isin(rest.queries, line.hits.queries)
        rest = rest.take(~on_line)
    lingering = [_lingers(line, merged) for line in lines]
    frames = _frame_matches(query, lines, lingering, total_s)
    if not frames:
        return None
    agreeing = _agreeing(frames)
    if agreeing:  # beside lines that agree in time, stray hits are no segments
        frames = [f for f in frames if f.line in agreeing]
    empty = Alignment(reference_id, query.signal_type, query.orientation, (), (), 0.0)
    speed = lines[0].speed if lines else 1.0
    return rescore(replace(empty, speed=speed), frames, video=total_s > 0)


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


def as_match(
    reference: Reference,
    alignments: Sequence[Alignment],
    exact: Sequence[str] = (),
    whole: SegmentPair | None = None,
) -> Match:
    """One reference's alignments (and the digests that are equal) as one match.

    The score is the best alignment's, each signal's its own best one's. The segments are the best
    alignment's, and others' where they speak of other times; of an exact match, `whole`.
    """
    ranked = sorted(alignments, key=lambda a: (-a.score, a.signal_type, a.orientation.value))
    best: dict[str, float] = dict.fromkeys(exact, 1.0)
    for alignment in ranked:
        best.setdefault(alignment.signal_type, alignment.score)
    segments: list[SegmentPair] = [whole] if whole else []
    for alignment in ranked:
        for pair in alignment.segments:
            if not any(_overlap(pair.query, taken.query) for taken in segments):
                segments.append(pair)
    return Match(
        reference,
        score=max(best.values()),
        signals=tuple(Signal(name, value) for name, value in best.items()),
        segments=tuple(sorted(segments, key=lambda p: (p.query.start, p.query.end))),
        alignments=tuple(ranked),
    )


def _overlap(one: Segment, other: Segment) -> bool:
    return one.start <= other.end and other.start <= one.end


def score(signal_type: str, frames: Sequence[FrameMatch]) -> float:
    """0 to 1 from the evidence of distinct pictures; see the module's text.

    A group of look-alike frames counts once, by its closest one. A picture counts in full where
    its line says more than any few hits would by chance (`_agrees`), else by `LONE`; the closest
    one counts in full always.
    """
    distances = np.array([f.distance for f in frames], dtype=np.int64)
    weights = WEIGHTS[signal_type].of(distances)
    agreeing = _agreeing(frames)
    best: dict[int, float] = {}
    for frame, weight in zip(frames, weights, strict=True):
        share = 1.0 if frame.line in agreeing else LONE
        best[frame.group] = max(best.get(frame.group, 0.0), float(weight) * share)
    total = sum(best.values())
    alone = float(weights.max())
    return sigmoid(PRIOR + max(total, alone))


def _agreeing(frames: Sequence[FrameMatch]) -> set[int]:
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


def _merge_neighbours(hits: FrameHits, gap: float = 0.25) -> FrameHits:
    """One hit for each run of neighbouring reference moments that one query frame hits."""
    order = np.lexsort((hits.offsets, hits.queries))
    h = hits.take(order)
    if not len(h):
        return h
    ends = h.offsets + h.spans
    same = (h.queries[1:] == h.queries[:-1]) & (h.offsets[1:] - ends[:-1] <= gap)
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    offsets = h.offsets[starts]
    return FrameHits(
        h.queries[starts],
        offsets,
        np.maximum.reduceat(ends, starts) - offsets,
        np.minimum.reduceat(h.distances, starts),
    )


def _best_line(times: Floats, hits: FrameHits, weight: Weight, *, still: bool) -> Line:
    t = times[hits.queries]
    w = weight.of(hits.distances) + 1e-3
    if still:
        return _inliers(0.0, 0.0, t, hits, w, tolerance=np.inf)
    best = (-1.0, 1.0, 0.0)
    for speed in SPEEDS:
        votes, offset = _best_offset(hits.offsets - speed * t, hits.spans, w)
        # Ties go to the normal speed, which comes first.
        if votes > best[0] * 1.02 + 1e-9:
            best = (votes, float(speed), offset)
    _, speed, offset = best
    line = _inliers(speed, offset, t, hits, w)
    for _ in range(6):
        refined = _refit(line, times)
        if refined is None:
            break
        wider = _inliers(*refined, t, hits, w)
        if wider.hits.queries.size < line.hits.queries.size:
            break
        grown = wider.hits.queries.size > line.hits.queries.size
        line = wider
        if not grown:
            break
    return line


def _best_offset(lows: Floats, spans: Floats, weights: Floats) -> tuple[float, float]:
    """The offset that most intervals [low - tolerance, low + span + tolerance] hold, and its
    weight: an exact sweep over the intervals' ends."""
    edges = np.concatenate([lows - TOLERANCE, lows + spans + TOLERANCE])
    order = np.argsort(edges, kind="stable")
    depth = np.cumsum(np.concatenate([weights, -weights])[order])
    at = int(np.argmax(depth))
    right = edges[order[at + 1]] if at + 1 < len(order) else edges[order[at]]
    return float(depth[at]), float((edges[order[at]] + right) / 2)


def _inliers(
    speed: float,
    offset: float,
    t: Floats,
    hits: FrameHits,
    weights: Floats,
    tolerance: float = TOLERANCE,
) -> Line:
    """The hits within `tolerance` seconds of the line, the heaviest one of each query frame."""
    expected = speed * t + offset
    moments = np.clip(expected, hits.offsets, hits.offsets + hits.spans)
    off = np.abs(moments - expected)
    near = np.flatnonzero(off <= tolerance)
    order = near[np.lexsort((off[near], -weights[near], hits.queries[near]))]
    _, first = np.unique(hits.queries[order], return_index=True)
    rows = order[first]
    return Line(speed, hits.take(rows), moments[rows])


def _lingers(line: Line, hits: FrameHits) -> NDArray[np.bool_]:
    """For each hit of a line whether the reference shows that picture, as closely or nearly so, for
    `LINGERS` seconds at other times too: then the time at which it was found says nothing."""
    place = np.full(int(hits.queries.max(initial=-1)) + 1, -1)
    place[line.hits.queries] = np.arange(len(line.hits))
    on = place[hits.queries]
    known = on >= 0
    on, others = on[known], hits.take(known)
    moment, distance = line.moments[on], line.hits.distances[on]
    here = (others.offsets <= moment + 1.0) & (others.offsets + others.spans >= moment - 1.0)
    near = others.distances <= distance + NEARLY
    before = np.clip(moment - 1.0 - others.offsets, 0.0, others.spans)
    after = np.clip(others.offsets + others.spans - moment - 1.0, 0.0, others.spans)
    seconds = np.where(near, np.where(here, before + after, others.spans + 0.1), 0.0)
    return np.bincount(on, weights=seconds, minlength=len(line.hits)) > LINGERS


def _refit(line: Line, times: Floats) -> tuple[float, float] | None:
    """Least squares through the line's moments; None where they cannot tell a speed."""
    t = times[line.hits.queries]
    if line.speed == 0.0 or len(t) < 3 or float(np.ptp(t)) < 1.0:
        return None
    speed, offset = np.polyfit(t, line.moments, 1)
    low, high = sorted((line.speed * 0.9, line.speed * 1.1))
    if not low <= speed <= high:
        return None
    return float(speed), float(offset)


def _frame_matches(
    query: Fingerprint,
    lines: Sequence[Line],
    lingering: Sequence[NDArray[np.bool_]],
    total_s: float,
) -> list[FrameMatch]:
    before, after = _reach(query.offsets, total_s)
    rows = np.concatenate([line.hits.queries for line in lines]) if lines else np.zeros(0, int)
    alike = group_alike(query.codes[rows], query.signal_type)
    groups = dict(zip(rows.tolist(), alike, strict=True))
    frames = []
    for number, line in enumerate(lines):
        frozen = int(line.hits.queries[0]) if line.speed == 0.0 and len(line.hits) else None
        for row, moment, distance, lingers in zip(
            line.hits.queries.tolist(),
            line.moments.tolist(),
            line.hits.distances.tolist(),
            lingering[number].tolist(),
            strict=True,
        ):
            frames.append(
                FrameMatch(
                    offset=float(query.offsets[row]),
                    reference_offset=moment,
                    distance=distance,
                    group=STILL if lingers else groups[row if frozen is None else frozen],
                    track=query.track,
                    view=query.view,
                    line=number,
                    before=float(before[row]),
                    after=float(after[row]),
                )
            )
    return frames


def _reach(offsets: Floats, total_s: float) -> tuple[Floats, Floats]:
    """Half the way to the neighbouring samples, at most `REACH`; whole to the ends."""
    if not len(offsets) or total_s <= 0:
        return np.zeros(len(offsets)), np.zeros(len(offsets))
    half = np.diff(offsets) / 2
    before = np.concatenate([[offsets[0]], half])
    after = np.concatenate([half, [max(0.0, total_s - offsets[-1])]])
    return np.minimum(before, REACH), np.minimum(after, REACH)


def group_alike(codes: Codes, signal_type: str) -> list[int]:
    """A number for each code; codes within the look-alike distance of an earlier one share its."""
    near = ALIKE.get(signal_type, 0)
    leaders: list[Codes] = []
    numbers = []
    for code in codes:
        if leaders:
            distances = np.bitwise_count(np.stack(leaders) ^ code).sum(axis=1, dtype=np.int64)
            closest = int(distances.argmin())
            if distances[closest] <= near or len(leaders) >= MAX_GROUPS:
                numbers.append(closest)
                continue
        leaders.append(code)
        numbers.append(len(leaders) - 1)
    return numbers


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
    first, last = run[0], run[-1]
    seconds = last.offset - first.offset
    speed = (last.reference_offset - first.reference_offset) / seconds if seconds > 0 else 1.0
    a = first.reference_offset - speed * first.before
    b = last.reference_offset + speed * last.after
    low, high = max(0.0, min(a, b)), max(0.0, a, b)
    return SegmentPair(
        Segment(first.offset - first.before, last.offset + last.after), Segment(low, high)
    )
