"""Descriptors of an upload's pictures beside those of references, as alignments. Pure.

A model's vectors say what a picture shows, not that it is the same picture: another moment of the
same place looks as much alike as an edited copy does. So time has to speak: pictures count only
where several distinct ones agree with one line of time, and a scene that looks the same throughout
is one picture. docs/decisions/0013-neural-descriptor.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashdb.model import (
    Alignment,
    Descriptors,
    Floats,
    FrameMatch,
    Ints,
    Orientation,
    Pictures,
    View,
)
from hashdb.ports import DescriptorHits
from matcher.align import (
    LINGERS,
    MAX_GROUPS,
    SPEEDS,
    FrameHits,
    Line,
    best_line,
    reach,
)
from matcher.ports import DescriptorModel
from matcher.score import STILL, TOLERANCE, WEIGHTS, agreeing_lines, rescore

NEARLY = 0.02
"""A reference that looks as much like the picture, or less by no more than this cosine, for
`LINGERS` seconds at other times too stands still: when the picture was found says nothing."""

AROUND_S = 1.0
"""Seconds to each side of a moment that are no other time."""

SEAM_S = 0.02

FORWARD = SPEEDS[SPEEDS > 0]
"""Not backwards, and no frozen picture: either is one line through whatever looks alike."""

DISTINCT, MISSED = 3, 2
"""Distinct pictures that must agree in time, and pictures of the upload that may be missed between
two of them: in a long upload a few that lie far apart are on some line by chance."""

MOST_LINES = 4
"""Of one reference in one track: each costs a sweep over all speeds."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The model's own: cosines up to `floor` say nothing, from `sure` on as much as they can."""

    floor: float
    sure: float

    def distances(self, cosines: NDArray[np.floating]) -> Ints:
        """0 (as sure as can be) to 100 (nothing), as `matcher.score` weighs them."""
        far = (self.sure - cosines.astype(np.float64)) / (self.sure - self.floor)
        return np.rint(100 * np.clip(far, 0.0, 1.0)).astype(np.int64)


def describe(model: DescriptorModel, shown: Sequence[Pictures]) -> tuple[Descriptors, ...]:
    """The descriptors of each track's pictures. Raises `DescriptorUnavailable`."""
    return tuple(
        Descriptors(
            model.model,
            some.offsets,
            model.describe(list(some.pixels)).astype(np.float16),
            some.track,
        )
        for some in shown
        if len(some)
    )


def by_reference(hits: DescriptorHits) -> Iterator[tuple[int, DescriptorHits]]:
    """The hits of each reference's ordinal."""
    order = np.argsort(hits.ordinals, kind="stable")
    ordinals, counts = np.unique(hits.ordinals, return_counts=True)
    for ordinal, end, count in zip(ordinals, np.cumsum(counts), counts, strict=True):
        yield int(ordinal), hits.take(order[end - count : end])


def alignment(
    reference_id: str,
    query: Descriptors,
    hits: DescriptorHits,
    levels: Levels,
    *,
    total_s: float,
) -> Alignment | None:
    """One reference's footage in one track of an upload of `total_s` seconds; None where too few
    distinct pictures agree in time. `hits`: those in this reference."""
    rest = _frame_hits(hits, levels)
    lines: list[Line] = []
    while len(rest) and len(lines) < MOST_LINES:
        line = best_line(query.offsets, rest, "neural", still=False, speeds=FORWARD)
        lines.append(line)
        rest = rest.take(~np.isin(rest.queries, line.hits.queries))
    frames = _frames(query, lines, hits, levels, total_s)
    agreeing = agreeing_lines(frames)
    kept = []
    for number in agreeing:
        mine = [f for f in frames if f.line == number]
        if len({f.group for f in mine} - {STILL}) >= DISTINCT:
            kept += mine
    empty = Alignment(
        reference_id, "neural", Orientation.ORIGINAL, (), (), 0.0, lines[0].speed if lines else 1.0
    )
    return rescore(empty, kept, video=True)


def _frame_hits(hits: DescriptorHits, levels: Levels) -> FrameHits:
    """The hits as `align` takes them. A picture stands for the time up to halfway to its
    neighbours, which the tolerance of a line makes longer at both ends: so much is cut off, and a
    little more, for a line where two pictures meet would have both."""
    cut = np.minimum(TOLERANCE + SEAM_S, (hits.ends - hits.starts) / 2)
    return FrameHits(
        hits.queries,
        hits.starts + cut,
        hits.ends - hits.starts - 2 * cut,
        levels.distances(hits.similarities),
    )


def _frames(
    query: Descriptors,
    lines: Sequence[Line],
    hits: DescriptorHits,
    levels: Levels,
    total_s: float,
) -> list[FrameMatch]:
    """One a hit on a line; each run of a line has a number of its own."""
    before, after = reach(query.offsets, query.offsets, total_s)
    groups = _groups(query, [row for line in lines for row in line.hits.queries.tolist()], levels)
    frames: list[FrameMatch] = []
    for line in lines:
        lingers = _lingers(line, hits, levels)
        gaps = np.diff(line.hits.queries, prepend=line.hits.queries[:1]) > MISSED + 1
        runs = np.cumsum(gaps) + (frames[-1].line + 1 if frames else 0)
        on_line = (line.hits.queries, line.moments, line.hits.distances, lingers, runs)
        for row, moment, distance, still, run in zip(*(c.tolist() for c in on_line), strict=True):
            frames.append(
                FrameMatch(
                    offset=float(query.offsets[row]),
                    reference_offset=moment,
                    distance=distance,
                    group=STILL if still else groups[row],
                    track=query.track,
                    view=View.FULL,
                    line=run,
                    before=float(before[row]),
                    after=float(after[row]),
                )
            )
    return frames


def _lingers(line: Line, hits: DescriptorHits, levels: Levels) -> NDArray[np.bool_]:
    """For each hit of a line whether the reference looks the same at other times: see `NEARLY`."""
    found = []
    for row, moment in zip(line.hits.queries.tolist(), line.moments.tolist(), strict=True):
        mine = hits.take(hits.queries == row)
        here = (mine.starts <= moment + TOLERANCE) & (mine.ends >= moment - TOLERANCE)
        best = float(mine.similarities[here].max(initial=levels.floor))
        near = mine.similarities >= best - NEARLY
        before = np.clip(moment - AROUND_S - mine.starts, 0.0, mine.ends - mine.starts)
        after = np.clip(mine.ends - moment - AROUND_S, 0.0, mine.ends - mine.starts)
        found.append(float((before + after)[near].sum()) > LINGERS)
    return np.array(found, dtype=np.bool_)


def _groups(query: Descriptors, rows: Sequence[int], levels: Levels) -> dict[int, int]:
    """A number for each of the rows; pictures that look as sure to be the same share one."""
    vectors = query.vectors.astype(np.float32)
    numbers: dict[int, int] = {}
    left = sorted(rows)
    while left and len(set(numbers.values())) < MAX_GROUPS:
        alike = vectors[left] @ vectors[left[0]] >= levels.sure
        number = left[0]
        numbers |= {row: number for row, same in zip(left, alike, strict=True) if same}
        numbers[number] = number
        left = [row for row in left if row not in numbers]
    return numbers | dict.fromkeys(left, left[0] if left else 0)


def upper_bound(hits: DescriptorHits, levels: Levels) -> float:
    """The most log-odds that these hits could say: every query's picture distinct, all agreeing."""
    weights = WEIGHTS["neural"].of(levels.distances(hits.similarities))
    best: Floats = np.zeros(int(hits.queries.max(initial=-1)) + 1)
    np.maximum.at(best, hits.queries, weights)
    return float(best.sum())
