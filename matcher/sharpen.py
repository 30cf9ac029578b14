"""A line of time fitted anew, once it is known how the reference lies in the query. Pure.

While each picture is verified by itself, pictures a second before and after the right one agree as
well, only a little shifted, and any speed will do. By the one map of all pictures, and without a
shift, the right one agrees best wherever anything moves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hashdb.model import Floats
from hashdb.ports import Nominee
from matcher import verify
from matcher.laying import NOMINATING, SLACK, STEP, Found, inliers_of, on_line, together, usual
from matcher.localize import FORWARD
from matcher.sighting import Shot, Sight, picture_of

NEAR_S = 1.6
"""Seconds around the line in which each picture's moment is looked for."""

CLEARER = 1.15
"""How much more of the right picture is seen than of its neighbours."""

MOST, FEWEST, SHORTEST_S = 12, 4, 1.0
"""Sights that are looked at; of those, and of the query's seconds, as many must tell a moment."""

AS_MUCH, BESIDE_S = 0.95, 0.25
"""The part of what a line of an odd speed shows that one of the normal speed must show as well, to
be the likelier one; seconds between those that are tried, up to two `STEP` away."""

BESIDE = 0.8
"""The part of a line's inliers from which on another, two `STEP` beside it, shows as much: then
the reference looks the same there, and its pictures tell no moment."""


def sharpened(found: Found, mine: Sequence[Shot], pictures: Sequence[Nominee]) -> Found:
    """The same by the sharper line, where one is found that shows as much."""
    told = [
        (sight.shot.offset, moment)
        for sight in found.sights[:: max(1, len(found.sights) // MOST)]
        if (moment := _moment(found, sight, pictures)) is not None
    ]
    at, moments = np.array([t for t, _ in told]), np.array([m for _, m in told])
    if found.speed == 0 or len(told) < FEWEST or np.ptp(at) < SHORTEST_S:
        return found
    speed, offset = _fitted(at, moments)
    if not FORWARD.min() <= speed <= FORWARD.max():
        return found
    led, seen = together(speed, offset, found.sights, mine, pictures, {}, still=False)
    if inliers_of(seen) < inliers_of(found.sights):
        return found
    return on_line(found, speed, offset, led, seen)


def at_normal_speed(found: Found, mine: Sequence[Shot], pictures: Sequence[Nominee]) -> Found:
    """The same at the normal speed, where that shows about as much, and leads nowhere further away
    than the reference's pictures are from each other: then they cannot tell the speed, and most
    copies are as fast as what they are of. What looks the same at other moments is left."""
    shown_at = found.shown_at
    if usual(found.speed) or found.speed == 0:
        return found
    if abs(found.speed - 1) * float(np.ptp(shown_at)) / 2 > STEP:
        return found
    through = (found.speed - 1) * float(np.median(shown_at)) + found.offset
    best, most = found, 0
    for shift in sorted(np.arange(-2 * STEP, 2 * STEP + 1e-6, BESIDE_S).tolist(), key=abs):
        led, seen = together(1.0, through + shift, found.sights, mine, pictures, {}, still=False)
        if inliers_of(seen) > most:
            best, most = on_line(found, 1.0, through + shift, led, seen), inliers_of(seen)
    if most < AS_MUCH * inliers_of(found.sights) or _as_much_beside(best, mine, pictures):
        return found
    return best


def _as_much_beside(found: Found, mine: Sequence[Shot], pictures: Sequence[Nominee]) -> bool:
    """Whether the same shots show about as much of the reference a second earlier or later."""
    rows = {s.shot.row for s in found.sights}
    same = [shot for shot in mine if shot.row in rows]
    now = sum(s.agreement.inliers for s in found.sights) / len(rows)
    for shift in (-2 * STEP, 2 * STEP):
        moved = found.offset + shift
        led, seen = together(1.0, moved, found.sights, same, pictures, {}, still=False)
        if led and sum(s.agreement.inliers for s in seen) / len(led) >= BESIDE * now:
            return True
    return False


def _moment(found: Found, sight: Sight, pictures: Sequence[Nominee]) -> float | None:
    """When the reference shows what the sight does, in seconds; None where it cannot be told."""
    line = found.speed * sight.shot.offset + found.offset
    near = [p for p in pictures if abs(p.offset - line) <= NEAR_S]
    common = found.sights[0].agreement.map
    pairs = [verify.candidates(sight.shot.picture, picture_of(p)) for p in near]
    seen = np.array([verify.measured(common, one, SLACK).inliers for one in pairs])
    if len(near) < 3 or seen.max() < NOMINATING or seen.max() < CLEARER * np.median(seen):
        return None
    weights = np.maximum(seen - 0.5 * seen.max(), 0.0)
    return float(np.average([p.offset for p in near], weights=weights))


def _fitted(t: Floats, moments: Floats) -> tuple[float, float]:
    """Speed and offset by least squares, the second time without what lies off the first line."""
    speed, offset = np.polyfit(t, moments, 1)
    off = np.abs(speed * t + offset - moments)
    near = off <= max(STEP, float(np.median(off)))
    if np.count_nonzero(near) >= FEWEST and np.ptp(t[near]) >= SHORTEST_S:
        speed, offset = np.polyfit(t[near], moments[near], 1)
    return float(speed), float(offset)
