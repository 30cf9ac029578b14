"""Whether a camera that moves passes a place again. Pure but for what describes pictures.

Where a lot is scanned twice, pictures of one pass show nearly all that those of the other do, for
seconds and at about the same pace. So hashes and features agree; all of the picture moves, so that
what moves tells nothing either. But a copy can show nothing of the place that lies beyond the edges
of the picture that it is of, and most edits lay all pictures alike. The reference's other pictures
tell what lies beyond the edges of each, and where: so it can be looked for in the upload
(`matcher.ports.Guide`). They tell how far the place moves from one moment to the next, too: so it
is known how each picture would be laid on any line of time, and whether on one of them all are laid
alike. (They are where a reference was cropped, and the upload was not.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats
from hashdb.ports import Nominee
from matcher import verify
from matcher.laying import NOMINATING, STEP, Found
from matcher.seeking import MOSTLY, SHOWS, Seeker, spread
from matcher.sighting import Shot, Sight, picture_of
from matcher.verify import Map

MARGIN = 0.03
"""Part of the longer side by which a feature lies beyond the edges at least: maps are off by less.
"""

SHIFTS_S = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""Seconds from a picture to those that may show what lies beyond its edges."""

NEAR_S = 0.55
"""Seconds from the line within which a picture may be of any moment: where the camera pans, one
before or after it agrees as well, a little shifted."""

FEWEST, PART = 6, 0.5
"""Features beyond the edges that are looked for in a picture, at least, and the part of them that
must be there. (Of other passes over a lot 0.7 to 1.0, of copies 0.0 but where the line is off.)"""

FEWEST_BEYOND, FEWEST_ON_LINE = 2, 3
"""Pictures that must show more than those that they would be copies of; and those of which it must
be known how the place moves."""

STEADY, STEADY_PIECE = 0.006, 0.014
"""How far the centre of the reference's picture lies from its usual place, on average, on the line
of time on which that is least: part of the upload's longer side, beside what a hand shakes from one
picture to the next (`_Way.rough`). (Uploads of what was cropped in the reference at most 0.010
where that is 0.024, and 0.005 where it is 0.004; other passes over a lot mostly 0.011 to 0.032
there.) And the same of a piece of few pictures, of which it is not asked what lies beyond."""

MANY, CLEARLY, MOVED, STEADIEST = 10, 0.75, 0.02, 0.01
"""Pictures of which it is known how the place moves, the part of the features that the median one
shows, and how far the place moves in a second, from which on a line of any speed is believed where
all are laid alike on it, whatever a hand shakes. (Backwards at half and at twice the speed nine
films have 11 and more, 0.86 and more, and those that were lost 0.003 to 0.008; of 174 look-alikes'
lines those with eight and more 0.019 to 0.037, or are of scenes in which hardly anything moves:
another moment of those may show 0.95, and lies as still.)"""

MOVES = 0.04
"""How far the place moves in the reference, in a second, for pieces to drift: part of the upload's
longer side. Where a camera stands still it is the edit that moves."""

MOST, SOUGHT = 12, 8
"""Pictures of the upload that are asked, at most, and how often something is sought in one, mostly.
"""

AROUND_S = 1.6
"""Seconds around its line within which it is known how the place moves."""

_SPEEDS = np.linspace(0.6, 1.67, 54)  # times that of the line
_AWAY_S = np.arange(-1.5, 1.501, 0.05)  # from the line, at its middle
_EDGE = 8  # pixels of the upload's picture, at whose edges nothing is described
_FLAT = 1e-6  # area of what a map makes of a pixel, below which it lays nothing
_LED = 0.7  # part of the pictures that a line must lead to moments of which that is known


class _Scene:
    """A reference's pictures, and how one is laid on another."""

    def __init__(self, pictures: Sequence[Nominee]) -> None:
        self._pictures = pictures
        self._times = np.array([p.offset for p in pictures])
        self._maps: dict[tuple[float, float], Map | None] = {}

    def onto(self, one: Nominee, other: Nominee) -> Map | None:
        """From the first one's pixels to the other's; None where they do not show the same."""
        if one is other:
            return np.eye(2, 3)
        key = one.offset, other.offset
        if key not in self._maps:
            seen = verify.agreement(verify.candidates(picture_of(other), picture_of(one)))
            sure = seen is not None and seen.inliers >= NOMINATING
            self._maps[key] = seen.map if seen is not None and sure else None
        return self._maps[key]

    def within(self, moment: float, seconds: float) -> list[Nominee]:
        first = int(np.searchsorted(self._times, moment - seconds))
        last = int(np.searchsorted(self._times, moment + seconds, side="right"))
        return list(self._pictures[first:last])

    def at(self, moment: float) -> Nominee | None:
        """The one nearest to it; None where there is none within half a `STEP`."""
        near = self.within(moment, STEP / 2)
        return min(near, key=lambda p: abs(p.offset - moment), default=None)


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    """A picture of the upload and the one of the reference that its line leads to, by a `map` that
    it tells itself; the `part` of the features that is found by it."""

    shot: Shot
    one: Nominee
    map: Map
    part: float = 0.0


def passes_again(found: Found, seeker: Seeker, pictures: Sequence[Nominee]) -> bool:
    """Whether what was found of a reference is another pass of its camera over the same place.

    `pictures`: the reference's. What the `seeker` cannot look for says nothing.
    """
    if found.speed <= 0:
        return False
    kept = spread([s for s in found.sights if seeker.is_kept(s.shot)], MOST)
    reaching = [s for s in kept if _reaches_beyond(_Laid(s.shot, s.nominee, s.agreement.map))]
    if len(reaching) < FEWEST_BEYOND or not seeker.affords(SOUGHT * len(kept)):
        return False
    scene, laid = _Scene(pictures), _laid(reaching, seeker)
    shown = _show_more(laid, seeker, scene)
    if not shown:
        return False
    others = _laid([s for s in kept if s not in reaching], seeker)
    if shown < FEWEST_BEYOND and shown + _show_more(others, seeker, scene) < FEWEST_BEYOND:
        return False
    return _drifts(_ways([*laid, *others], scene), found, _SPEEDS, STEADY)


def is_unsteady(found: Found, seeker: Seeker, pictures: Sequence[Nominee]) -> bool:
    """Whether the pictures of a piece, which is played at the normal speed, are laid so differently
    at any moment about its own that it is no copy. As for `passes_again`."""
    kept = spread([s for s in found.sights if seeker.is_kept(s.shot)], MOST)
    if found.own_maps or not seeker.affords(2 * len(kept)):
        return False
    ways = _ways(_laid(kept, seeker), _Scene(pictures))
    if not ways or np.median([way.pace for way in ways]) < MOVES:
        return False
    return _drifts(ways, found, np.ones(1), STEADY_PIECE)


def is_paced(found: Found, seeker: Seeker, pictures: Sequence[Nominee]) -> bool:
    """Whether many of the pictures on a line, whatever its speed, show the reference clearly and
    are laid alike, as those of a copy are and hardly any other pass. As for `passes_again`, for
    which enough may be looked for afterwards."""
    if found.speed <= 0 or found.own_maps or len(found.sights) < MOSTLY * found.led:
        return False
    kept = spread([s for s in found.sights if seeker.is_kept(s.shot)], MOST)
    if len(kept) < MANY or not seeker.affords(2 * len(kept) + SOUGHT * MOST):
        return False
    laid = _laid(kept, seeker)
    ways = _ways(laid, _Scene(pictures))
    if len(ways) < MANY or np.median([one.part for one in laid]) < CLEARLY:
        return False
    if np.median([way.pace for way in ways]) < MOVED:
        return False
    drift = _drift(ways, found, np.ones(1))
    return drift is not None and drift <= min(STEADY + _rough(ways), STEADIEST)


def _laid(some: Iterable[Sight], seeker: Seeker) -> list[_Laid]:
    """Those that show the reference clearly, by maps that they tell themselves."""
    each = [(s, seeker.refined(s.shot, s.nominee, s.agreement.map)) for s in some]
    return [
        _Laid(s.shot, s.nominee, sought.map, sought.part)
        for s, sought in each
        if sought.part >= SHOWS
    ]


def _show_more(some: Iterable[_Laid], seeker: Seeker, scene: _Scene) -> int:
    """How many of them do, `FEWEST_BEYOND` at most."""
    beyond = (one for one in some if _shows_more(one, seeker, scene))
    return len(list(islice(beyond, FEWEST_BEYOND)))


def _shows_more(laid: _Laid, seeker: Seeker, scene: _Scene) -> bool:
    """Whether it shows what lies beyond the edges of the reference's picture, and of each that it
    may be of instead."""
    if not _lies_beyond(laid, seeker, scene):
        return False
    for other in scene.within(laid.one.offset, NEAR_S):
        between = scene.onto(other, laid.one)
        if other is laid.one or between is None:
            continue
        sought = seeker.refined(laid.shot, other, _after(laid.map, between))
        if not _lies_beyond(_Laid(laid.shot, other, sought.map), seeker, scene):
            return False
    return True


def _lies_beyond(laid: _Laid, seeker: Seeker, scene: _Scene) -> bool:
    """Whether the upload's picture shows what lies beyond the edges of that of the reference."""
    if not _reaches_beyond(laid):
        return False
    best: tuple[Nominee, NDArray[np.intp], Map] | None = None
    for shift in SHIFTS_S:
        other = scene.at(laid.one.offset + shift)
        between = None if other is None else scene.onto(other, laid.one)
        if other is None or between is None or other is laid.one:
            continue
        by = _after(laid.map, between)
        rows = np.flatnonzero(
            ~_inside(verify.mapped(between, other.places), laid.one, _margin(laid.one))
            & _inside(verify.mapped(by, other.places), laid.shot.picture, -_EDGE)
        )
        if len(rows) >= FEWEST and (best is None or len(rows) > len(best[1])):
            best = other, rows, by
    if best is None:
        return False
    other, rows, by = best
    some = replace(other, codes=other.codes[rows], places=other.places[rows])
    sought = seeker.sought(laid.shot, some, by)
    return sought.asked >= FEWEST and len(sought.near) >= PART * sought.asked


def _reaches_beyond(laid: _Laid) -> bool:
    """Whether a corner of the upload's picture lies beyond the edges of the reference's."""
    if abs(np.linalg.det(laid.map[:, :2])) < _FLAT:
        return False
    width, height = laid.shot.picture.width - 2 * _EDGE, laid.shot.picture.height - 2 * _EDGE
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) + _EDGE - laid.map[:, 2]
    at = np.asarray(np.linalg.solve(laid.map[:, :2], corners.T).T, np.float64)
    return not _inside(at, laid.one, _margin(laid.one)).all()


def _margin(one: Nominee) -> float:
    return MARGIN * max(one.width, one.height)


def _inside(at: Floats, one: Nominee | verify.Picture, margin: float) -> NDArray[np.bool_]:
    """Which of the places (n, 2) lie in its picture, or within `margin` pixels of it."""
    size = np.array([one.width, one.height])
    return np.asarray(((at >= -margin) & (at <= size + margin)).all(axis=1))


def _after(later: Map, earlier: Map) -> Map:
    """Both maps as one."""
    turn = later[:, :2] @ earlier[:, :2]
    return np.column_stack([turn, later[:, :2] @ earlier[:, 2] + later[:, 2]])


def _drifts(ways: Sequence[_Way], found: Found, speeds: Floats, steady: float) -> bool:
    """Whether they are laid alike on no line: as for `_drift`, and but for what is not known of
    the place between two pictures of the reference."""
    drift = _drift(ways, found, speeds)
    return drift is not None and drift > steady + _rough(ways)


def _rough(ways: Sequence[_Way]) -> float:
    return float(np.median([way.rough for way in ways]))


def _drift(ways: Sequence[_Way], found: Found, speeds: Floats) -> float | None:
    """How far the reference's pictures lie from their usual place in the upload's, on average, on
    the line of time about that of what was found (`speeds`: times as fast) on which this is least:
    a part of the upload's longer side. None where too little is known of how the place moves."""
    if len(ways) < FEWEST_ON_LINE:
        return None
    at = np.array([way.shown_at for way in ways])
    since = at - np.median(at)
    middle = found.speed * float(np.median(at)) + found.offset
    best: float | None = None
    for speed in (found.speed * speeds).tolist():
        moments = middle + _AWAY_S[:, None] + speed * since  # (lines, pictures)
        each = [way.at(moments[:, i]) for i, way in enumerate(ways)]
        places = np.stack([place for place, _ in each], axis=1)
        known = np.stack([there for _, there in each], axis=1)
        for place, there in zip(places, known, strict=True):
            if there.sum() < max(FEWEST_ON_LINE, _LED * len(ways)):
                continue
            some = place[there]
            off = float(np.linalg.norm(some - np.median(some, axis=0), axis=1).mean())
            best = off if best is None else min(best, off)
    return best


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """Where the centre of the reference's picture would lie in the upload's that is `shown_at`, by
    the moment: `moments` (n,), seconds, rising, and `places` (n, 2), parts of the longer side."""

    shown_at: float
    moments: Floats
    places: Floats

    @property
    def pace(self) -> float:
        """How far it moves in a second."""
        moved = float(np.linalg.norm(np.diff(self.places, axis=0), axis=1).sum())
        return moved / max(0.1, float(np.ptp(self.moments)))

    @property
    def rough(self) -> float:
        """How far the place lies from midway between where it was before and where it is next, at
        the median: a hand shakes, and what it does between two pictures is not known."""
        if len(self.places) < 3:
            return 0.0
        part = np.diff(self.moments)
        part = (part[:-1] / (part[:-1] + part[1:]))[:, None]
        between = self.places[:-2] * (1 - part) + self.places[2:] * part
        return float(np.median(np.linalg.norm(self.places[1:-1] - between, axis=1)))

    def at(self, moments: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """(m, 2) the places at these moments (m,), and (m,) whether they are known."""
        each = [np.interp(moments, self.moments, axis) for axis in self.places.T]
        first, last = self.moments[[0, -1]]
        known = (moments >= first - NEAR_S / 2) & (moments <= last + NEAR_S / 2)
        return np.stack(each, axis=1), np.asarray(known)


def _ways(laid: Iterable[_Laid], scene: _Scene) -> list[_Way]:
    """Of those of which it is known how the place moves."""
    return [way for one in laid if (way := _way(one, scene)) is not None]


def _way(laid: _Laid, scene: _Scene) -> _Way | None:
    moments, places = [], []
    for other in scene.within(laid.one.offset, AROUND_S):
        between = scene.onto(other, laid.one)
        if between is not None:
            by = _after(laid.map, between)
            moments.append(other.offset)
            places.append(by[:, :2] @ (other.width / 2, other.height / 2) + by[:, 2])
    if len(moments) < 2:
        return None
    longer = max(laid.shot.picture.width, laid.shot.picture.height)
    return _Way(laid.shot.offset, np.array(moments), np.array(places) / longer)
