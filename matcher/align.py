"""Hits into alignments: which of them agree in time, and how much that says. Pure.

A copy shows the reference's moments in order, at one speed: its hits lie on a line
`reference = speed * query + offset`. Lines are found by a Hough vote over speed and offset (Hough
1962; for copies: Douze et al., "An image-based approach to video copy detection with
spatio-temporal post-filtering", IEEE Trans. Multimedia 2010), with the exact best offset for each
speed by a sweep, then refined by least squares on the hits that agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Alignment, Codes, Fingerprint, Floats, FrameMatch, Ints
from hashdb.signals import CARD
from matcher.cells import cells_within
from matcher.score import STILL, TOLERANCE, WEIGHTS, agreeing_lines, rescore

MAX_GROUPS = 64
"""Distinct pictures counted: the score has long been 1 by then."""

ALIKE = {"pdq": 46, "phash": 8}
"""Bits within which two frames of the query are the same picture."""

CARDS_SEEN = 0.5
"""The part of an upload's title cards that a reference must have. They count as one scene."""

MAX_LINES = 12
LINGERS = 1.5
NEARLY = 6
"""A picture that the reference shows for so many seconds elsewhere, within so many bits of its
distance, is a still scene's: all such pictures of an alignment count as one."""

_AT_ONCE = 1 << 16
"""Hits whose votes are counted in one step, of all speeds together: bounds the memory."""

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


def is_still(alignment: Alignment) -> bool:
    """Whether all of it may be one scene that stands still: no two distinct pictures."""
    return len({f.group for f in alignment.frames} - {STILL}) < 2


def upper_bound(signal_type: str, hits: FrameHits) -> float:
    """The most evidence that these hits could be: every query frame distinct, all in agreement."""
    best = np.zeros(int(hits.queries.max(initial=-1)) + 1)
    np.maximum.at(best, hits.queries, WEIGHTS[signal_type].of(hits.distances))
    return float(best.sum())


def align(
    reference_id: str,
    query: Fingerprint,
    hits: FrameHits,
    *,
    still: bool,
    total_s: float,
    samples: Floats | None = None,
) -> Alignment | None:
    """The reference's footage in the query, or None where the hits say nothing.

    `still`: the reference is an image, which has no time to agree with. `total_s`: the query's
    duration in seconds, 0 for an image. `samples`: the offsets, rising, of all frames that were
    looked at, where the query holds only some of them (those with borders, say): a segment ends
    halfway to the next sample. Hits may come in any order.
    """
    merged = rest = _merge_neighbours(hits)
    lines: list[Line] = []
    while len(rest) and len(lines) < MAX_LINES:
        line = best_line(query.offsets, rest, query.signal_type, still=still)
        lines.append(line)
        on_line = np.isin(rest.queries, line.hits.queries)
        rest = rest.take(~on_line)
    lingering = [_lingers(line, merged) for line in lines]
    sides = reach(query.offsets, query.offsets if samples is None else samples, total_s)
    frames = _frame_matches(query, lines, lingering, sides)
    cards = query.signal_type == CARD
    if not frames or (cards and len(frames) < CARDS_SEEN * len(query)):
        return None
    agreeing = agreeing_lines(frames)
    if agreeing:  # beside lines that agree in time, stray hits are no segments
        frames = [f for f in frames if f.line in agreeing]
    empty = Alignment(reference_id, query.signal_type, query.orientation, (), (), 0.0)
    speed = lines[0].speed if lines else 1.0
    return rescore(replace(empty, speed=speed), frames, video=total_s > 0)


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


def best_line(
    times: Floats,
    hits: FrameHits,
    signal_type: str,
    *,
    still: bool,
    speeds: Floats = SPEEDS,
) -> Line:
    """The line of time that most evidence lies on; `times`: the query's, by row."""
    weight = WEIGHTS[signal_type]
    t = times[hits.queries]
    w = weight.of(hits.distances) + 1e-3
    if still:
        return _inliers(0.0, 0.0, t, hits, w, tolerance=np.inf)
    best = (-1.0, 1.0, 0.0)
    at_once = max(1, _AT_ONCE // len(hits))
    for some in np.split(speeds, range(at_once, len(speeds), at_once)):
        found = _best_offsets(hits.offsets - some[:, None] * t, hits.spans, w)
        for speed, votes, offset in zip(some.tolist(), *found, strict=True):
            # Ties go to the normal speed, which comes first.
            if votes > best[0] * 1.02 + 1e-9:
                best = (votes, speed, offset)
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


def _best_offsets(
    lows: Floats, spans: Floats, weights: Floats
) -> tuple[Sequence[float], Sequence[float]]:
    """For each row of (s, k) `lows` the weight of the offset that most of the k intervals
    [low - tolerance, low + span + tolerance] hold, and that offset: an exact sweep over the
    intervals' ends."""
    edges = np.concatenate([lows - TOLERANCE, lows + spans + TOLERANCE], axis=1)
    order = np.argsort(edges, axis=1, kind="stable")
    depth = np.cumsum(np.concatenate([weights, -weights])[order], axis=1)
    rows, at = np.arange(len(lows)), np.argmax(depth, axis=1)
    left = edges[rows, order[rows, at]]
    right = edges[rows, order[rows, np.minimum(at + 1, order.shape[1] - 1)]]
    return depth[rows, at].tolist(), ((left + right) / 2).tolist()


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
    sides: tuple[Floats, Floats],
) -> list[FrameMatch]:
    before, after = sides
    rows = np.concatenate([line.hits.queries for line in lines]) if lines else np.zeros(0, int)
    alike = group_alike(query.codes[rows], query.signal_type)
    groups = dict(zip(rows.tolist(), alike, strict=True))
    cards = query.signal_type == CARD
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
                    group=STILL if lingers or cards else groups[row if frozen is None else frozen],
                    track=query.track,
                    view=query.view,
                    line=number,
                    before=float(before[row]),
                    after=float(after[row]),
                    cells=0 if query.boxes is None else cells_within(*query.boxes[row].tolist()),
                )
            )
    return frames


def reach(offsets: Floats, samples: Floats, total_s: float) -> tuple[Floats, Floats]:
    """Half the way to the neighbouring samples, at most `REACH`; whole to the ends."""
    if not len(offsets) or total_s <= 0:
        return np.zeros(len(offsets)), np.zeros(len(offsets))
    half = np.diff(samples) / 2
    before = np.concatenate([[samples[0]], half])
    after = np.concatenate([half, [max(0.0, total_s - samples[-1])]])
    own = np.searchsorted(samples, offsets)
    return np.minimum(before, REACH)[own], np.minimum(after, REACH)[own]


def group_alike(codes: Codes, signal_type: str) -> list[int]:
    """A number for each code; codes within the look-alike distance of a group's first share its."""
    near = ALIKE.get(signal_type, 0)
    numbers = np.full(len(codes), -1)
    for number in range(MAX_GROUPS):
        rest = np.flatnonzero(numbers < 0)
        if not len(rest):
            break
        distances = np.bitwise_count(codes[rest] ^ codes[rest[0]]).sum(axis=1, dtype=np.int64)
        numbers[rest[distances <= near]] = number
    numbers[numbers < 0] = MAX_GROUPS - 1
    return [int(n) for n in numbers]
