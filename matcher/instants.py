"""Which moment of a reference an upload shows, told by what is there for an instant only. Pure but
for what describes pictures.

Where a camera stands still a detector finds next to nothing again of who walks by, and how pictures
change (`matcher.motion`) is told coarsely. But the map is known, so each of the reference's
features that move can be looked for where it should be, in some pictures a second of the upload
(`matcher.ports.Guide`). On the right line of time it is there at its moment, and neither before nor
after; on another line now and then one is, by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Grey, Ints, Rendering
from hashdb.ports import Nominee
from matcher import moving
from matcher.all_over import FOUND_BITS, rendered
from matcher.correlation import Line
from matcher.laying import Found
from matcher.localize import FORWARD
from matcher.looks import CHECKED_S, checked_at
from matcher.ports import FrameFeatures, Guide
from matcher.sighting import Sight

FEWEST_GREYS, MOST_GREYS = 12, 120
"""Pictures of the upload, at least and, nearest to where it was found, at most: 15 seconds."""

MOST_FEATURES, MOST_PICTURES, NEAR_S = 4000, 200, 900.0
"""Features that are looked for in each picture of the upload, at most: some 20 ms of work; and the
reference's pictures that they are of, those nearest to where it was found, within so many seconds.
"""

FIRST_FEATURES, CLEARLY_THERE = 1000, 0.3
"""So many are looked for first, where it is asked whether they are missing: where this part of the
instants is there on the line, they are not."""

AWAY_S, AWAY_PART, FEWEST_AWAY = 0.6, 0.1, 6
"""A feature is there for an instant where no more than this part of the upload's pictures that lie
so many seconds and more from its moment show it, of so many at least."""

FEWEST, PART = 4, 0.25
"""So many of a picture's instants, and this part of them, are found at its moment: an event."""

COUNTED = 12
"""Instants of one picture that count where two lines are compared: a large car is one event."""

SLACK_S = 0.05
"""Seconds by which a moment may be off its line, beside half the time between two pictures."""

EVENTS, EVENTS_PART, EVENTS_S = 6, 0.12, 3.0
"""Events by which a line is told, the part of all instants on it that is found, and the seconds of
the reference that the events are spread over. (Of other hours of fixed cameras 4 events at most; a
program's window has 5 within two seconds, a film 6 and 0.06 of all instants. Of copies that nothing
else told mostly 7 to 16, and 0.16 to 0.68.)"""

LACKED, LACKED_PICTURES, LACKED_PART = 150, 5, 0.15
"""Instants that should be found on a line, and pictures of the reference that have some, from which
on it shows another moment, where fewer than this part of them are found as often as what stands
still. (Of other hours that were taken for copies 0.06 and 0.08; of copies of four fixed cameras
0.23 and more.)"""

STANDING, STANDING_LEAST = 100, 0.1
"""Features that stand still, at least, of which so large a part must lie where the map lays it. (Of
copies 0.36 and more, of cars alike that pass elsewhere 0.06 at most.)"""

_STANDING = 8  # pictures in which what stands still is looked for
_COARSE_S, _LINES = 0.1, 4  # seconds of a coarse line; how many are looked at more finely
_TURNS, _SHIFTS = 1 + np.arange(-6, 7) / 100, np.arange(-10, 11) / 20  # of its speed; seconds

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Told:
    """A line of time; how many `instants` should be found on it, of how many `pictures` of the
    reference, and the `part` of them that is; how many pictures have some that are (`events`), and
    over how many `seconds` of the reference those are spread."""

    line: Line
    instants: int
    pictures: int
    part: float
    events: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _LookedFor:
    """`at` (j,): seconds of the upload's pictures; `moments` (i,): of the reference's; `starts`
    (i,): the first feature of each; `found` (n, j): which pictures show a feature."""

    at: Floats
    moments: Floats
    starts: Ints
    found: Mask

    def counted(self, features: Mask) -> Ints:
        """(i, j) how many of these features, (n,), of each moment each picture shows."""
        some = self.found & features[:, None]
        return np.asarray(np.add.reduceat(some, self.starts, axis=0, dtype=np.int64))

    def each(self, features: Mask) -> Ints:
        """(i,) how many of these features, (n,), each moment has."""
        return np.asarray(np.add.reduceat(features, self.starts, dtype=np.int64))


def line_by_instants(
    found: Found, pictures: Sequence[Nominee], greys: Sequence[Grey], guide: Guide
) -> Told | None:
    """The line of time on which the instants of a reference are found; None where they are on none.

    `pictures`: the reference's; `greys`: the upload's, rising, of the track that it was `found` in.
    """
    middle = float(np.median(found.shown_at))
    greys = sorted(_alike(found, greys), key=lambda g: abs(g.offset - middle))[:MOST_GREYS]
    greys.sort(key=lambda g: g.offset)
    moves = moving.Masks(pictures)
    looked = _looked_for(found, _nearest(found, pictures), moves, greys, guide, MOST_FEATURES)
    if looked is None:
        return None
    lines = [*_coarse(looked)]
    if found.speed > 0:
        lines.append(Line(found.speed, found.offset))
    told = [one for line in lines if (one := _finer(looked, line)) is not None]
    best = max(told, key=lambda one: (one.events, one.part), default=None)
    if best is None or best.events < EVENTS:
        return None
    return best if best.part >= EVENTS_PART and best.seconds >= EVENTS_S else None


def are_missing(
    found: Found, pictures: Sequence[Nominee], greys: Sequence[Grey], guide: Guide
) -> bool:
    """Whether the instants of a reference are missing on the line on which it was found, while what
    stands still is found, or not even that: it shows the same place at another moment, or something
    in another place. As `line_by_instants`."""
    near = _around(found, greys)
    if found.speed <= 0 or len(near) < FEWEST_GREYS:
        return False
    led = found.speed * np.array([g.offset for g in near]) + found.offset
    shown = [p for p in pictures if np.abs(led - p.offset).min() <= AWAY_S]
    moves = moving.Masks(pictures)
    asked, standing = _standing(found, shown, moves, near, guide)
    if asked < STANDING:
        return False

    def told_by(most: int) -> Told | None:
        looked = _looked_for(found, shown, moves, near, guide, most)
        return None if looked is None else _finer(looked, Line(found.speed, found.offset))

    first = told_by(FIRST_FEATURES)
    if standing >= STANDING_LEAST and first is not None and _is_clearly_there(first):
        return False
    told = told_by(MOST_FEATURES)
    if told is None or told.instants < LACKED or told.pictures < LACKED_PICTURES:
        return False
    return standing < STANDING_LEAST or told.part < LACKED_PART * standing


def _is_clearly_there(told: Told) -> bool:
    """Whether so much of some instants is found that all of them cannot be missing."""
    enough = 2 * told.instants >= LACKED and told.pictures >= LACKED_PICTURES
    return enough and told.part >= CLEARLY_THERE


def _around(found: Found, greys: Sequence[Grey]) -> list[Grey]:
    """Those around some of the pictures that show what was found."""
    some = checked_at(found.shown_at)
    same = _alike(found, greys)
    return [g for g in same if float(np.abs(some - g.offset).min()) <= CHECKED_S + SLACK_S]


def _alike(found: Found, greys: Sequence[Grey]) -> list[Grey]:
    """Those of the size of the pictures that it was found in."""
    shot = found.sights[0].shot.picture
    return [g for g in greys if g.luma.shape == (shot.height, shot.width)]


def _standing(
    found: Found,
    near: Sequence[Nominee],
    moves: moving.Masks,
    greys: Sequence[Grey],
    guide: Guide,
) -> tuple[int, float]:
    """How many features that stand still some pictures should show, and the part that they do."""
    some = greys[:: max(1, len(greys) // _STANDING)]
    asked = shown = 0
    for grey, sight in zip(some, _sights_at(found, some), strict=True):
        moment = found.speed * grey.offset + found.offset
        one = min(near, key=lambda p: abs(p.offset - moment))
        rows = np.flatnonzero(~moves[one.offset])
        features = _features([(one, rows)])
        bits, _ = guide(rendered(grey, found.rendering), sight.agreement.map, features)
        asked += int((bits >= 0).sum())
        shown += int(((bits >= 0) & (bits <= FOUND_BITS)).sum())
    return asked, shown / max(1, asked)


def _sights_at(found: Found, greys: Sequence[Grey]) -> list[Sight]:
    """The sight nearest to each, by whose map it is laid."""
    at = np.array([g.offset for g in greys])
    nearest = np.abs(at[:, None] - found.shown_at).argmin(axis=1)
    return [found.sights[n] for n in nearest.tolist()]


def _features(some: Sequence[tuple[Nominee, Ints]]) -> FrameFeatures:
    """Those rows of each of a reference's pictures, as of one picture."""
    codes = np.concatenate([p.codes[rows] for p, rows in some])
    places = np.concatenate([p.places[rows] for p, rows in some])
    first = some[0][0]
    return FrameFeatures(Rendering.PLAIN, codes, places, first.width, first.height)


def _looked_for(
    found: Found,
    near: Sequence[Nominee],
    moves: moving.Masks,
    greys: Sequence[Grey],
    guide: Guide,
    most: int,
) -> _LookedFor | None:
    """Which of the upload's pictures show which moving features of the reference's pictures `near`,
    by the maps of the sights nearest to them; None where there are too few. `most`: features."""
    if len(greys) < FEWEST_GREYS:
        return None
    each = max(FEWEST, most // max(1, len(near)))
    rows = [_spread(np.flatnonzero(moves[p.offset]), each) for p in near]
    some = [(p, r) for p, r in zip(near, rows, strict=True) if len(r) >= FEWEST]
    if not some:
        return None
    features = _features(some)
    at = np.array([g.offset for g in greys])
    bits = [
        guide(rendered(grey, found.rendering), sight.agreement.map, features)[0]
        for grey, sight in zip(greys, _sights_at(found, greys), strict=True)
    ]
    shown = np.stack(bits, axis=1)
    seen = np.flatnonzero((shown >= 0).mean(axis=1) >= 1 - AWAY_PART)
    if not len(seen):
        return None
    owner = np.repeat(np.arange(len(some)), [len(r) for _, r in some])[seen]
    kept, starts = np.unique(owner, return_index=True)
    moments = np.array([p.offset for p, _ in some])[kept]
    there = (shown[seen] >= 0) & (shown[seen] <= FOUND_BITS)
    return _LookedFor(at, moments, starts, there)


def _spread(rows: Ints, most: int) -> Ints:
    """No more of them than that, of all sizes: the finest come first."""
    if len(rows) <= most:
        return rows
    return np.asarray(rows[np.linspace(0, len(rows) - 1, most).astype(int)])


def _nearest(found: Found, pictures: Sequence[Nominee]) -> list[Nominee]:
    """Those of the reference's pictures that are nearest to where it was found, in their order."""
    middle = float(np.median([s.nominee.offset for s in found.sights]))
    near = [p for p in pictures if abs(p.offset - middle) <= NEAR_S]
    nearest = sorted(near, key=lambda p: abs(p.offset - middle))[:MOST_PICTURES]
    return sorted(nearest, key=lambda p: p.offset)


def _coarse(looked: _LookedFor) -> Iterator[Line]:
    """Lines through what shows each other's instants, those that most lies on."""
    long = max(2 * AWAY_S, float(looked.at[-1] - looked.at[0]))
    rare = looked.found.mean(axis=1) <= 2 * AWAY_S / long + AWAY_PART
    counts = looked.counted(rare)
    event = _is_event(counts, looked.each(rare)[:, None])
    row, column = np.nonzero(event)
    if not len(row):
        return
    weights = np.minimum(counts[row, column], COUNTED).astype(np.float64)
    when, moment = looked.at[column], looked.moments[row]
    best = []
    for speed in FORWARD.tolist():
        offsets = moment - speed * when
        least = float(offsets.min())
        summed = np.bincount(((offsets - least) / _COARSE_S).astype(np.int64), weights)
        summed += np.append(summed[1:], 0.0)  # of two that follow each other
        top = int(summed.argmax())
        best.append((float(summed[top]), speed, least + (top + 1) * _COARSE_S))
    middle = float(looked.at.mean())
    taken: list[float] = []
    for _, speed, offset in sorted(best, reverse=True):
        leads = speed * middle + offset
        if len(taken) < _LINES and all(abs(leads - other) > AWAY_S for other in taken):
            taken.append(leads)
            yield Line(speed, offset)


def _is_event(counts: Ints, each: Ints) -> Mask:
    return np.asarray((counts >= FEWEST) & (counts >= PART * each))


def _finer(looked: _LookedFor, line: Line) -> Told | None:
    """The line near that one on which most instants are found."""
    middle = float(looked.at.mean())
    leads = line.speed * middle + line.offset
    away = np.abs(looked.moments[:, None] - line.speed * looked.at - line.offset) > AWAY_S
    counted = np.diff([*looked.starts.tolist(), len(looked.found)])
    far = np.repeat(away, counted, axis=0)
    pictures = far.sum(axis=1)
    instant = (looked.found & far).sum(axis=1) <= AWAY_PART * pictures
    instant &= pictures >= FEWEST_AWAY
    counts, each = looked.counted(instant), looked.each(instant)
    half = float(np.median(np.diff(looked.at))) / 2
    best: tuple[tuple[int, int], Told] | None = None
    for turn in _TURNS.tolist():
        speed = line.speed * turn
        for shift in _SHIFTS.tolist():
            offset = leads + shift - speed * middle
            off = np.abs(looked.moments[:, None] - speed * looked.at - offset)
            on = off <= speed * half + SLACK_S
            asked = on.any(axis=1) & (each >= FEWEST)
            if not asked.any():
                continue
            there = np.where(on, counts, 0).max(axis=1)[asked]
            weight = (int(np.minimum(there, COUNTED).sum()), int(there.sum()))
            if best is None or weight > best[0]:
                best = (
                    weight,
                    _told(Line(speed, offset), looked.moments[asked], there, each[asked]),
                )
    return None if best is None else best[1]


def _told(line: Line, moments: Floats, there: Ints, each: Ints) -> Told:
    """`there` (i,) of `each` moment's instants are found on the line."""
    events = moments[_is_event(there, each)]
    seconds = float(np.ptp(events)) if len(events) else 0.0
    instants = int(each.sum())
    part = float(there.sum() / instants)
    return Told(line, instants, len(each), part, len(events), seconds)
