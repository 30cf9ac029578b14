"""Which moment of a reference an upload shows, told by how all of its pictures change. Pure.

Flames, water and people who pass look as they did for some hundredths of a second only. What moves
in a reference is kept four times a second. Of an upload that was looked at picture by picture one
lies within half a frame of each of those, on the right line of time and on no other: so how the
reference changes from one of its moments to the next is held against how the upload does between
the pictures nearest to both (`matcher.motion` does so the other way round, by the few pictures that
an upload is looked at by first).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Motion
from matcher.correlation import (
    FEWEST_SHOTS,
    LEAST_MOVING,
    LEAST_PART,
    Cells,
    Grids,
    Laid,
    Line,
    cells_of,
    moves_little,
)
from matcher.localize import FORWARD
from matcher.looks import around
from matcher.motion import AWAY_S, NOT_NEAR

LEAST = 0.4
"""The lowest correlation at which a line of the normal speed is believed, where no other of that
speed that lies elsewhere is within `NOT_NEAR`. (Of the benchmark's look-alikes 0.38, and then 0.36
elsewhere, of copies that nothing else told 0.41 to 0.98; all of five seeds.)"""

ODD_LEAST, ODD_NOT_NEAR = 0.55, 0.2
"""The same where lines of many speeds are tried: one of them fits by chance sooner. (Of look-alikes
0.57 and 0.03 more than elsewhere, or 0.44 and 0.36; of copies 0.59 to 0.89, and 0.25 to 0.76.)"""

FEWEST = 5
"""Changes of a reference that a line must lead to."""

NEARLY = np.arange(0.9, 1.1001, 0.002)
"""Speeds about the normal one: over ten seconds flames are on the line for one in 500 only."""

ELSEWHERE_S = 4.0
"""Seconds by which lines of one speed may differ that lead elsewhere: fewer tell nothing."""

EVENTS = 3.5
"""Changes that must carry a line's correlation, as many as count alike: a door that opens alike at
another hour has 2.4 to 2.9."""

MOST_HELD = 15_000_000
"""Moments of the reference, of all lines together, that are held against the upload: a second of
work. Of longer references only lines of the normal speed are tried, of the longest none."""

FOLLOWED, FOLLOWED_S, FEWEST_FOLLOWED = 0.4, 0.75, 3
"""A picture is on the line where what changes within so many seconds of it, so many moments of the
reference at least, correlates so well: where the place itself is hardly seen any more."""

_NEAR = 0.6  # of the time between two pictures: how far the nearest one may be
_NEXT_S = 0.6  # between two moments of the reference that follow each other, at most
_AT_ONCE = 100_000  # moments that are held at once: two milliseconds without Python's lock


@dataclass(frozen=True, slots=True)
class Told:
    """A line of time on which an upload changes as a reference does: how well these correlate, by
    how much that lies `above` any line that leads elsewhere, and how many `events` (changes that
    count alike), of all `changes` on it, carry it: `(sum of products)^2 / sum of their squares`, as
    for the effective number of samples (Kish, "Survey Sampling", 1965)."""

    line: Line
    correlation: float
    above: float
    events: float
    changes: int


def line_by_all(shown: Floats, laid: Laid, upload: Motion, reference: Motion) -> Told | None:
    """The line of time on which the upload changes as the reference does; None where there is none
    that stands out. `shown` (n,): when the pictures that show the place are, seconds; `upload`: of
    every picture around there."""
    first, last = around(shown)
    at = upload.offsets[(upload.offsets >= first) & (upload.offsets <= last)]
    if len(at) < FEWEST_SHOTS or len(reference) < FEWEST_SHOTS:
        return None
    work = _work(at, reference.offsets)
    if work > MOST_HELD:
        return None  # before anything is made that grows with the reference
    cells = cells_of(at, laid, upload, reference)
    if cells is None or moves_little(cells.shown):
        return None
    best = _best(cells, np.ones(1))
    if best is not None and best.correlation >= LEAST and best.above >= NOT_NEAR:
        return best
    for speeds in (NEARLY, FORWARD):
        best = _best(cells, speeds) if work * len(speeds) <= MOST_HELD else None
        if best is not None and best.correlation >= ODD_LEAST and best.above >= ODD_NOT_NEAR:
            return best
    return None


def followed(
    line: Line, at: Floats, laid: Laid, upload: Motion, reference: Motion
) -> NDArray[np.bool_]:
    """(n,) at which of the moments `at` (n,), seconds, the upload changes as the reference does on
    that line of time."""
    first, last = line.speed * upload.offsets[[0, -1]] + line.offset
    led = (reference.offsets >= first - 1) & (reference.offsets <= last + 1)
    some = Motion(reference.offsets[led], reference.grids[led])
    cells = cells_of(upload.offsets, laid, upload, some)
    if cells is None:
        return np.zeros(len(at), dtype=np.bool_)
    held = _held(cells, _together(cells), line.speed, np.array([line.offset]))
    near = (np.abs(held.when - at[:, None]) <= FOLLOWED_S) & held.both
    summed, shown, known = (
        (each * near).sum(axis=1) for each in (held.product, held.shown, held.known)
    )
    enough = (near.sum(axis=1) >= FEWEST_FOLLOWED) & (shown * known > 1e-6)
    alike: NDArray[np.bool_] = enough & (summed >= FOLLOWED * np.sqrt(np.maximum(shown * known, 0)))
    return alike


def _best(cells: Cells, speeds: Floats) -> Told | None:
    """The line that agrees best; None where too few lead elsewhere to tell, or too few events."""
    together = _together(cells)
    each = [_correlations(cells, together, float(speed)) for speed in speeds]
    told = np.concatenate([t for _, t in each])
    if not len(told):
        return None
    lines = np.concatenate(
        [
            np.column_stack([np.full(len(offsets), speed), offsets])
            for speed, (offsets, _) in zip(speeds, each, strict=True)
        ]
    )
    leads = lines @ ((cells.at[0] + cells.at[-1]) / 2, 1.0)
    at = int(told.argmax())
    away = told[np.abs(leads - leads[at]) > AWAY_S]
    if len(away) * _apart(cells.at) < ELSEWHERE_S:
        return None
    speed, offset = lines[at].tolist()
    held = _held(cells, together, speed, np.array([offset]))
    products = (held.product * held.both).astype(np.float64)
    events = float(products.sum() ** 2 / max(float(np.square(products).sum()), 1e-9))
    if events < EVENTS:
        return None
    above, changes = float(told[at] - away.max()), int(held.both.sum())
    return Told(Line(speed, offset), float(told[at]), above, events, changes)


def _together(cells: Cells) -> Grids:
    """(n, n) the products of what the upload shows at any two moments."""
    return cells.shown @ cells.shown.T


def _offsets(at: Floats, moments: Floats, speed: float) -> Floats:
    """Of all lines of that speed, a picture apart, that lead enough of the upload's pictures (n,)
    to the reference's moments (m,)."""
    reach = LEAST_PART * (at[-1] - at[0])
    first, last = moments[0] - speed * (at[-1] - reach), moments[-1] - speed * (at[0] + reach)
    return np.arange(first, last + 1e-6, speed * _apart(at))


def _apart(at: Floats) -> float:
    return float(np.median(np.diff(at)))


def _work(at: Floats, moments: Floats) -> int:
    """Moments that are held against the upload's pictures at the normal speed."""
    return _of_a_line(at, moments) * len(_offsets(at, moments, 1.0))


def _of_a_line(at: Floats, moments: Floats) -> int:
    return int((at[-1] - at[0]) / _apart(moments)) + 2


def _correlations(cells: Cells, together: Grids, speed: float) -> tuple[Floats, Floats]:
    """The offsets of the lines of that speed that lead enough of what moves to the reference, and
    the correlation of the changes on each, -1 to 1."""
    offsets = _offsets(cells.at, cells.moments, speed)
    offsets = offsets[_leads(cells, speed, offsets) >= LEAST_MOVING]
    lines = max(1, _AT_ONCE // _of_a_line(cells.at, cells.moments))
    told = np.full(len(offsets), np.nan)
    for some in range(0, len(offsets), lines):
        held = _held(cells, together, speed, offsets[some : some + lines])
        power = (held.shown * held.both).sum(axis=1) * (held.known * held.both).sum(axis=1)
        enough = (held.both.sum(axis=1) >= FEWEST) & (power > 1e-6)
        summed = (held.product * held.both).sum(axis=1)[enough]
        told[some : some + lines][enough] = summed / np.sqrt(power[enough])
    known = ~np.isnan(told)
    return offsets[known], told[known]


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Of each line (k) and each change (n) of the reference that it leads to: whether `both` have
    it; `when` it is in the upload, seconds; the `product` of both and the power that is `shown` and
    `known`."""

    both: NDArray[np.bool_]
    when: Floats
    product: NDArray[np.float32]
    shown: NDArray[np.float32]
    known: NDArray[np.float32]


def _held(cells: Cells, together: Grids, speed: float, offsets: Floats) -> _Held:
    """The reference's changes held against the upload's on lines of that speed. `together`: see
    `_together`."""
    at, moments, apart = cells.at, cells.moments, _apart(cells.at)
    begin = np.searchsorted(moments, speed * at[0] + offsets - apart)
    end = np.searchsorted(moments, speed * at[-1] + offsets + apart)
    column = begin[:, None] + np.arange(int((end - begin).max(initial=2)))
    valid = column < end[:, None]
    column = column.clip(0, len(moments) - 1)
    when = (moments[column] - offsets[:, None]) / speed
    row = np.searchsorted(at, when).clip(1, len(at) - 1)
    row -= np.abs(at[row - 1] - when) < np.abs(at[row] - when)
    near = valid & (np.abs(at[row] - when) <= _NEAR * apart)
    now, then, later, earlier = row[:, 1:], row[:, :-1], column[:, 1:], column[:, :-1]
    alike, shown = cells.alike, cells.power_shown
    product = alike[now, later] - alike[now, earlier] - alike[then, later] + alike[then, earlier]
    changes = cells.power_known[1:] + cells.power_known[:-1] - 2 * cells.band[1, :-1]
    return _Held(
        near[:, 1:] & near[:, :-1] & (moments[later] - moments[earlier] <= _NEXT_S),
        (when[:, 1:] + when[:, :-1]) / 2,
        product,
        shown[now] + shown[then] - 2 * together[now, then],
        changes[earlier.clip(0, len(changes) - 1)],
    )


def _leads(cells: Cells, speed: float, offsets: Floats) -> Floats:
    """(lines,) the part of what moves in the upload that each line leads to the reference."""
    at, moments = cells.at, cells.moments
    apart = _apart(moments)
    summed = np.concatenate([[0.0], np.cumsum(cells.power_shown, dtype=np.float64)])
    first = np.searchsorted(at, (moments[0] - apart - offsets) / speed)
    last = np.searchsorted(at, (moments[-1] + apart - offsets) / speed, side="right")
    led: Floats = summed[last] - summed[first]
    return led / max(float(summed[-1]), 1e-9)
