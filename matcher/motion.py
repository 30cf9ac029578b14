"""Which moment of a reference a fixed camera's copy shows, told by what moves in it. Pure.

Where the camera stands still, every moment shows the same place, and a few blurred features on
what moves tell little. But what moves at the same places at the same times is the same moment: of
all lines of time (`matcher.correlation`) the right one agrees far better than any that lies
elsewhere, and another hour's best line is one among many.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from hashdb.model import Floats, Motion, Orientation
from matcher.correlation import (
    Cells,
    Laid,
    Line,
    Products,
    away_from_usual,
    cells_to_search,
    correlations,
    moves_little,
    of_levels,
    of_steps,
)
from matcher.laying import USUAL, Found
from matcher.localize import FORWARD

AWAY_S = 1.5
"""Lines that lead the middle of the upload to moments so far apart are different ones."""

CLEARLY, FEWEST_LINES = 3.5, 40
"""How far the best line's correlation lies above that of any line away from it, in standard
deviations of all of those; fewer of them tell nothing. (Of the fixed cameras of the robustness
benchmark other hours have up to 2.0, copies 4.2 and more.)"""

LEAST, FAINT_CLEARLY = 0.2, 5.0
"""A lower correlation is chance: of a program's window so few places change that the others scatter
by next to nothing. And one below `UNLIKE` must stand out by so many standard deviations: letters
that drift over a copy leave it 0.23 and 6.3, two recordings of one man have 0.22 and 3.6."""

ALIKE, NOT_NEAR = 0.5, 0.15
"""Or its correlation itself, and how far it lies above that of any other. (Other moments of fixed
cameras have at most 0.45, and then others nearly as high.)"""

UNLIKE = 0.3
"""A line of time on which what moves correlates less shows another moment, however alike the place
looks. (Of the benchmark's copies at lines that need be doubted 0.34 and more, of other moments at
most 0.30 where the reference does not repeat itself.)"""

CHANGES_LEAST, CHANGES_CLEARLY, CHANGES_FAINT = 0.2, 3.0, 4.5
"""What changes from one picture of the upload to the next is held against the reference apart: a
head that sways is at one place at many moments, but goes the same way at the same time at one only.
A line on which that correlates so well, and stands out by so many standard deviations (by more
where the correlation is below `UNLIKE`), is believed too. (Of fixed cameras other hours have 3.2 at
most, and 1.9 where the correlation is above 0.2; copies mostly 0.4 and 5 or more.)"""

BOTH_CLEARLY = 2.0
"""Where the differences from the usual and the changes correlate best on one line, each by `UNLIKE`
and more, it is believed if the changes stand out by so much. (Of 144 made hours of something that
sways they do so by 1.5 at most, a timer on slides of one make by 1.2.)"""

STEPS_LEAST, ALL_CLEARLY = 0.12, 1.0
"""Where features have found the same line at about the normal speed, less is enough: changes that
correlate by so little, or that stand out by so little where the differences lead there, too. (Of 37
other moments of the benchmark's standing cameras one has a line of features that the changes lead
to at such a speed, and there they stand out by 0.1.)"""

CHANGES_ALIKE, SAME_S = 0.4, 0.8
"""A correlation of the changes at which a line that was found by other means is confirmed; seconds
by which two lines of the same moment may differ."""

STILL_LEVELS, STILL_PART = 4, 0.7
"""A camera stands still where so large a part of all cells differs by no more from the usual, apart
from what all of a picture does. (Of the benchmark's references standing cameras have 0.81 and more,
others 0.68 and less.)"""

MOST_MOMENTS = 7200
"""Moments of a reference, spread evenly, that tell whether it stands still: half an hour."""

_FINER = np.array([0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5]) / 100  # of the speed of the best line
_AROUND = np.arange(-6, 7) / 50  # the speed of a line that was found by other means is rough


@dataclass(frozen=True, slots=True)
class Comparison:
    """What moves in an upload, held against a reference on all lines of time. `line`: the one on
    which it agrees, None where none stands out; `told`: the correlation that tells it, of what
    differs from the usual or of what changes, 0 where none is told; `best`: the highest correlation
    of any, -1 to 1; `another`: a line stands out, but is not believed: its speed is odd, and what
    differs is not alike on it."""

    line: Line | None
    told: float
    best: float
    another: bool = False


@dataclass(frozen=True, slots=True)
class Agreement:
    """The correlation of what moves near one line of time, and the highest one away from it."""

    on: float
    elsewhere: float


def odd(speed: float) -> bool:
    """Whether a line of that speed can be had by chance where a camera stands still."""
    return abs(float(np.log2(abs(speed) or 1e-3))) > 2 * USUAL or speed <= 0


def of_pictures(motion: Iterable[Motion], offsets: Floats) -> dict[int, Motion]:
    """Of what several looks saw move in an upload, for each track that of the look in which most of
    the pictures at `offsets` (n,), seconds, are."""
    tracks: dict[int, list[Motion]] = {}
    for one in motion:
        tracks.setdefault(one.track, []).append(one)

    def has(one: Motion) -> int:
        return int(np.isin(one.offsets, offsets).sum())

    return {track: max(looks, key=has) for track, looks in tracks.items()}


def stands_still(reference: Motion) -> bool:
    """Whether a reference was filmed by a camera that stands still, however much moves in it, and
    however it is exposed."""
    some = reference.grids[:: math.ceil(len(reference) / MOST_MOMENTS)]
    away = away_from_usual(some.reshape(len(some), -1).astype(np.float32))
    return float((np.abs(away) <= STILL_LEVELS).mean()) >= STILL_PART


def laid_by(found: Found) -> Laid:
    """As the sights of local features have it: all by one map, or each by its own."""
    sight = found.sights[0]
    nominee, picture = sight.nominee, sight.shot.picture
    own = {s.shot.offset: s.agreement.map for s in found.sights} if found.own_maps else None
    return Laid(
        sight.agreement.map,
        (nominee.width, nominee.height),
        (picture.width, picture.height),
        found.rendering.mirrored,
        found.rendering.inverted,
        own,
    )


_PLACED = {
    Orientation.ORIGINAL: ((1, 0, 0), (0, 1, 0)),
    Orientation.ROTATE_90: ((0, -1, 1), (1, 0, 0)),
    Orientation.ROTATE_180: ((-1, 0, 1), (0, -1, 1)),
    Orientation.ROTATE_270: ((0, 1, 0), (-1, 0, 1)),
    Orientation.FLIP_VERTICAL: ((1, 0, 0), (0, -1, 1)),
    Orientation.FLIP_HORIZONTAL: ((-1, 0, 1), (0, 1, 0)),
    Orientation.FLIP_PLUS: ((0, 1, 0), (1, 0, 0)),
    Orientation.FLIP_MINUS: ((0, -1, 1), (-1, 0, 1)),
}
"""Where each place of a picture that was placed so is in the picture itself: rows of x, y and 1, in
parts of the sides (`matcher.hashers.pdq.hash_dihedral`)."""


def laid_whole(orientation: Orientation = Orientation.ORIGINAL, *, inverted: bool = False) -> Laid:
    """The whole picture, which is the reference's once it is placed so; or as a negative."""
    return laid_in((0.0, 0.0, 1.0, 1.0), orientation, inverted=inverted)


def laid_in(
    box: Sequence[float],
    orientation: Orientation = Orientation.ORIGINAL,
    *,
    inverted: bool = False,
) -> Laid:
    """A picture within the upload's: left, top, right and bottom, in parts of its sides."""
    left, top, right, bottom = box
    within = np.array([[right - left, 0, left], [0, bottom - top, top]])
    placed = within @ np.array([*_PLACED[orientation], (0, 0, 1)])
    return Laid(placed, (1.0, 1.0), (1.0, 1.0), inverted=inverted)


def compare(
    offsets: Floats, laid: Laid, upload: Motion, reference: Motion, least: float = LEAST
) -> Comparison | None:
    """What moves, on all lines of time; None where too little can be compared, or where the
    reference is too long to try all lines (`cells_to_search`; so in all of this module). `offsets`:
    the upload's pictures that are looked at, of those that it has the motion of; of a long upload
    beside a long reference not all are. `least`: the lowest correlation at which a line is
    believed."""
    cells = cells_to_search(offsets, laid, upload, reference, FORWARD)
    if cells is None:
        return None
    lines, agreement = correlations(cells, FORWARD, of_levels)
    if not len(agreement):
        return None
    levels = _clearest(cells, lines, agreement, of_levels)
    told = None if levels is None else _told(cells, levels, least)
    best = float(agreement.max())
    if told is None:
        return Comparison(None, 0.0, best)
    clear, believed = told
    if not believed:
        return Comparison(None, 0.0, best, another=True)
    return Comparison(clear.line, clear.best, best)


def _told(cells: Cells, levels: _Clear, least: float) -> tuple[_Clear, bool] | None:
    """The line that stands out by the differences or by the changes, and whether it is believed:
    one of an odd speed only where it is the best by both, and the differences are alike there, or
    nowhere else. Of a single event, such as a dialogue that opens, or of two, such as somebody who
    comes and goes, some line of another event leads to it; at which speed is chance."""
    by_levels = _stands_out(levels, least)
    if by_levels and not odd(levels.line.speed):
        return levels, True
    steps = _clearest(cells, *correlations(cells, FORWARD, of_steps), of_steps)
    if steps is None:
        return None
    if not by_levels and not (_changes_tell(steps) or _both_tell(cells, levels, steps)):
        return None
    told = levels if by_levels else steps
    if not odd(told.line.speed):
        return told, True
    alike = levels.best >= ALIKE or levels.above >= NOT_NEAR
    return told, alike and _near(cells, levels.line, steps.line)


def confirmed(line: Line, offsets: Floats, laid: Laid, upload: Motion, reference: Motion) -> bool:
    """Whether what moves tells the line of time that was found by other means, and no other: the
    changes of the upload do, clearly, or the camera stands still and what moves is believed there
    anyway (`compare`)."""
    cells = cells_to_search(offsets, laid, upload, reference, FORWARD)
    if cells is None:
        return False
    steps = _clearest(cells, *correlations(cells, FORWARD, of_steps), of_steps)
    if steps is not None and _changes_alike(steps):
        return _near(cells, line, steps.line)
    told = compare(offsets, laid, upload, reference) if stands_still(reference) else None
    return told is not None and told.line is not None and _near(cells, line, told.line)


def coincides(line: Line, offsets: Floats, laid: Laid, upload: Motion, reference: Motion) -> bool:
    """Whether what moves before a camera that stands still is at its best on the line that features
    have found, of all lines: by the differences and by the changes, though neither tells it, or by
    faint changes that stand out."""
    cells = cells_to_search(offsets, laid, upload, reference, FORWARD)
    if cells is None:
        return False
    steps = _clearest(cells, *correlations(cells, FORWARD, of_steps), of_steps)
    if steps is None or not _near(cells, line, steps.line):
        return False
    if steps.best >= STEPS_LEAST and steps.by >= CHANGES_CLEARLY:
        return True
    levels = _clearest(cells, *correlations(cells, FORWARD, of_levels), of_levels)
    if levels is None or not _near(cells, line, levels.line):
        return False
    return min(levels.best, steps.best) >= UNLIKE and steps.by >= ALL_CLEARLY


def leads_to(line: Line, offsets: Floats, laid: Laid, upload: Motion, reference: Motion) -> bool:
    """Whether the changes of the upload correlate best on that line of all, however little: of a
    small picture, or one of few bits, they are faint."""
    cells = cells_to_search(offsets, laid, upload, reference, FORWARD)
    if cells is None:
        return False
    steps = _clearest(cells, *correlations(cells, FORWARD, of_steps), of_steps)
    return steps is not None and _near(cells, line, steps.line)


def agreement_on(
    line: Line, offsets: Floats, laid: Laid, upload: Motion, reference: Motion
) -> Agreement | None:
    """How well what moves agrees near a line of time that was found by other means; None where
    nothing moves or too little can be compared. A picture that stands (speed 0) has no speed of its
    own: lines of all speeds that lead there are near."""
    cells = cells_to_search(offsets, laid, upload, reference, FORWARD)
    if cells is None or moves_little(cells.shown):
        return None
    middle = (cells.at[0] + cells.at[-1]) / 2
    lines, agreement = correlations(cells, FORWARD, of_levels, least_moving=0.0)
    away = np.abs(lines @ (middle, 1.0) - line.speed * middle - line.offset) > AWAY_S
    near, on = lines[~away], agreement[~away]
    if line.speed > 0:
        speeds = line.speed * (1 + _AROUND)
        near, on = correlations(cells, speeds, of_levels, least_moving=0.0)
        on = on[np.abs(near @ (middle, 1.0) - line.speed * middle - line.offset) <= AWAY_S]
    if not len(on):
        return None
    return Agreement(float(on.max()), float(agreement[away].max(initial=-1.0)))


@dataclass(frozen=True, slots=True)
class _Clear:
    """The line that agrees best; its correlation, by how much that lies `above` any line's away
    from it, and `by` how many standard deviations of those."""

    line: Line
    best: float
    above: float
    by: float


def _clearest(cells: Cells, lines: Floats, agreement: Floats, products: Products) -> _Clear | None:
    """None where too few lines lead elsewhere to tell."""
    if not len(agreement):
        return None
    middle = (cells.at[0] + cells.at[-1]) / 2
    best = int(agreement.argmax())
    leads = lines @ (middle, 1.0)
    away = agreement[np.abs(leads - leads[best]) > AWAY_S]
    if len(away) < FEWEST_LINES:
        return None
    near, finer = correlations(cells, lines[best, 0] * (1 + _FINER), products)
    close = np.abs(near @ (middle, 1.0) - leads[best]) <= AWAY_S
    speed, offset = near[close][int(finer[close].argmax())].tolist()
    above = float(agreement[best] - away.max())
    by = above / max(float(away.std()), 1e-6)
    return _Clear(Line(speed, offset), float(agreement[best]), above, by)


def _changes_tell(steps: _Clear) -> bool:
    """Whether a line is believed by the changes alone."""
    clearly = CHANGES_CLEARLY if steps.best >= UNLIKE else CHANGES_FAINT
    return steps.best >= CHANGES_LEAST and steps.by >= clearly


def _changes_alike(steps: _Clear) -> bool:
    """Whether a line that was found by other means as well is believed by the changes, be the
    camera one that moves."""
    if steps.best >= CHANGES_ALIKE:
        return _changes_tell(steps)
    return steps.best >= UNLIKE and steps.by >= CHANGES_FAINT


def _both_tell(cells: Cells, levels: _Clear, steps: _Clear) -> bool:
    """Whether one and the same line is the best by both, though neither tells it alone."""
    if min(levels.best, steps.best) < UNLIKE or steps.by < BOTH_CLEARLY:
        return False
    return _near(cells, levels.line, steps.line)


def _near(cells: Cells, one: Line, other: Line) -> bool:
    """Whether they lead both ends of the upload's pictures to about the same moments."""
    ends = cells.at[[0, -1]]
    apart = (one.speed - other.speed) * ends + one.offset - other.offset
    return bool(np.abs(apart).max() <= SAME_S)


def _stands_out(clear: _Clear, least: float) -> bool:
    """Whether a line is believed by how the upload differs from the usual."""
    if clear.best < least:
        return False
    alike = clear.best >= ALIKE and clear.above >= NOT_NEAR
    return alike or clear.by >= (CLEARLY if clear.best >= UNLIKE else FAINT_CLEARLY)
