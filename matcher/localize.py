"""Local features into alignments: pictures that agree in time and place. Pure but for the index
that is asked.

1. Each picture of the query that shows something of a reference is verified (`matcher.sighting`).
2. What is verified of one reference in one rendering is a vote for a line of time, as with hashes.
3. Pictures of the query that lie on the line but were not nominated are verified too: they may be
   dimmer, or much covered (`matcher.laying`).
4. What of the reference stands still says that the place is the same, what moves says that it is
   the same moment. Where a reference's moving features are missing, it is another moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from hashdb.model import Floats, Rendering
from hashdb.ports import LocalBackend, Nominee
from matcher.align import SPEEDS, FrameHits, best_line
from matcher.cells import in_place
from matcher.laying import (
    NOMINATING,
    STEP,
    USUAL,
    Found,
    alike_beside,
    clearest,
    inliers_of,
    much_more,
    on_line,
    together,
)
from matcher.sighting import Shot, Sight, asked_about, cells_of
from matcher.verify import Candidates

FULL = 40.0
"""Inliers at which one picture says about all that one can: `1 - exp(-inliers / FULL)`."""

ANY_SHARE = 0.08
"""Of a place that looks alike at all moments the part is less, whichever of them is found: what
moves must tell it (`matcher.moments`)."""

MOST_REFERENCES = 40
MOST_LINES, FEWEST_MORE = 3, 3
"""Lines of time of one reference; sights of any but the strongest one. Two pictures of a place that
is shown throughout are on some line."""

FORWARD = SPEEDS[(SPEEDS >= 0.49) & (SPEEDS <= 2.05)]

ABOUT_NORMAL = FORWARD[np.abs(np.log2(FORWARD)) <= USUAL]
"""The usual ones."""

_TRIED = ((FORWARD, 1.0), (SPEEDS[-1:], 0.85))
"""Moving lines, and a frozen picture. A scene that stands still is on both."""


def lines(
    some: Sequence[Shot], sights: Sequence[Sight], index: LocalBackend, *, still: Sequence[int]
) -> list[Found]:
    """The references seen, each in its renderings, with the sights that agree in time and place.

    `still`: ordinals of references that are images, which have no time to agree with.
    """
    groups: dict[tuple[int, int, Rendering], list[Sight]] = {}
    for sight in sights:
        shown = (sight.nominee.reference, sight.nominee.track, sight.shot.rendering)
        groups.setdefault(shown, []).append(sight)
    ranked = sorted(groups.items(), key=lambda g: -sum(s.agreement.inliers for s in g[1]))
    found = []
    for (reference, track, rendering), seen in ranked[:MOST_REFERENCES]:
        if max(s.agreement.inliers for s in seen) >= NOMINATING:
            mine = [s for s in some if s.rendering == rendering]
            pictures = index.pictures(reference, track)
            mine_found = _lines_of(reference, rendering, mine, seen, pictures, reference in still)
            same = [s for s in sights if s.nominee.reference == reference]
            other = [s for s in same if s.nominee.track == track]
            found += [replace(f, track=track) for f in mine_found if not outshone(f, other)]
    return found


def outshone(found: Found, sights: Iterable[Sight]) -> bool:
    """Whether the pictures on a line show the reference better in another rendering, at whatever
    moment, where the line does: a copy is mirrored or it is not, while somebody who moves looks
    like himself in a mirror now and then. Beside it, both are shown: half of a picture and that
    half in a mirror. `sights`: of that reference, in all renderings."""
    place = 0
    for sight in found.sights:
        place |= cells_of(sight)
    better: dict[int, int] = {}
    for sight in sights:
        if sight.shot.rendering is found.rendering:
            continue
        cells = cells_of(sight)
        if in_place(cells, place) or in_place(place, cells):
            row = sight.shot.row
            better[row] = max(better.get(row, 0), sight.agreement.inliers)
    both = [s for s in found.sights if asked_about(Rendering.MIRRORED, s.shot.row)]
    return sum(better.get(s.shot.row, 0) for s in both) > sum(s.agreement.inliers for s in both)


def _lines_of(
    reference: int,
    rendering: Rendering,
    mine: Sequence[Shot],
    seen: Sequence[Sight],
    pictures: Sequence[Nominee],
    still: bool,
) -> list[Found]:
    found: list[Found] = []
    rest = list(seen)
    known: dict[tuple[int, float], Candidates] = {
        (s.shot.row, s.nominee.offset): s.pairs for s in seen
    }
    while rest and len(found) < MOST_LINES:
        best, strength, rows = None, 0.0, {rest[0].shot.row}
        for speeds, favour in _TRIED:
            speed, offset, on = _line(rest, mine, speeds, still=still)
            led, seen_there = together(speed, offset, on, mine, pictures, known, still=still)
            told = favour * inliers_of(seen_there)
            if told > strength:
                nothing = Found(reference, rendering, 0.0, 0.0, (), 0, seen=tuple(seen))
                best = on_line(nothing, speed, offset, led, seen_there)
                strength, rows = told, {s.shot.row for s in (*on, *seen_there)}
        if best is not None and (not found or len(best.sights) >= FEWEST_MORE):
            # what is laid by maps of its own shows less at other moments
            asked = not (still or best.own_maps)
            stands = asked and alike_beside(best, mine, pictures, known)
            clear = clearest(seen) if asked else []
            own = clear if much_more(clear, best.sights, ANY_SHARE) else []
            found.append(replace(best, stands=stands, own=tuple(own)))
        rest = [s for s in rest if s.shot.row not in rows]
    return found


def at_usual_speed(found: Found, mine: Sequence[Shot], pictures: Sequence[Nominee]) -> Found:
    """The same on the best line at about the normal speed, where that shows more."""
    known = {(s.shot.row, s.nominee.offset): s.pairs for s in found.seen}
    speed, offset, on = _line(found.seen, mine, ABOUT_NORMAL, still=False)
    led, seen = together(speed, offset, on, mine, pictures, known, still=False)
    if inliers_of(seen) <= inliers_of(found.sights):
        return found
    other = on_line(found, speed, offset, led, seen)
    return replace(other, stands=alike_beside(other, mine, pictures, known))


def _line(
    sights: Sequence[Sight], mine: Sequence[Shot], speeds: Floats, *, still: bool
) -> tuple[float, float, list[Sight]]:
    """Speed and offset of the best line of time, and the sights on it."""
    offsets = np.zeros(max(s.row for s in mine) + 1)
    for shot in mine:
        offsets[shot.row] = shot.offset
    hits = FrameHits(
        np.array([s.shot.row for s in sights], dtype=np.int64),
        np.array([max(0.0, s.nominee.offset - STEP / 2) for s in sights]),
        np.full(len(sights), STEP),
        np.array([distance_of(s.agreement.inliers) for s in sights], dtype=np.int64),
    )
    line = best_line(offsets, hits, "local", still=still, speeds=speeds)
    rows = line.hits.queries
    speed, offset = fitted(offsets[rows], line.moments, line.speed)
    on = [s for s in sights if still or abs(speed * s.shot.offset + offset - s.nominee.offset) < 1]
    return speed, offset, on


def fitted(t: Floats, moments: Floats, speed: float) -> tuple[float, float]:
    """Speed and offset through the moments; the line's own speed where they cannot tell, and an
    offset that leads nowhere (nan) where there are none."""
    if not len(t):
        return speed, float("nan")
    if len(t) > 2 and float(np.ptp(t)) > 1.0:
        slope, start = (float(x) for x in np.polyfit(t, moments, 1))
        if 0.4 <= abs(slope) <= 2.5:
            return slope, start
    return speed, float(np.median(moments - speed * t))


def distance_of(inliers: float) -> int:
    """0 to 100: how far one picture is from full agreement (`FrameMatch.distance` of `local`)."""
    return round(100 * float(np.exp(-inliers / FULL)))
