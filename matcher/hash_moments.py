"""What hashes say of moments before a camera that stands still. Pure.

All its moments may lie within the radius, so that some line of time goes through what is hit. But
what comes and goes moves some bits: of a copy that shows little else each picture's code lies much
nearer to the one that its own line leads it to than to those of any other line (as `matcher.motion`
has it of what moves). And where it lies no nearer on the line that features have found than on any
other, though the reference's own pictures do, that is another moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Alignment, Codes, Fingerprint, Floats, Ints, View
from matcher.laying import usual
from matcher.motion import AWAY_S
from matcher.score import UNSURE

FEWEST, MOST = 5, 64
"""Pictures that tell, at least; and that are compared at most, spread evenly."""

STEP_S, NEAR_S = 0.1, 0.3
"""Seconds between the lines that are compared, and by how much the alignment's may be off."""

FEWEST_LINES, LEAST_PART = 20, 0.6
"""Lines elsewhere, at least, and the part of the pictures that each leads to the reference."""

CLOSE, CLEARLY = float(UNSURE), 10.0
"""Bits that the pictures lie from the reference on their line at most, on average, and how much
further on any other. (Of 192 excerpts of six fixed cameras, good and poor, those of other hours lie
37 bits away and more, and 3.3 further elsewhere at most; copies that hashes put on such a line 0.7
to 35, and mostly 10 to 110 further: docs/decisions/0052-told-by-hashes.md.)"""

AROUND_S, MOST_LINES = 0.5, 2000
"""By how much a line of features may be off, whose pictures are half a second apart; and lines that
tell how far pictures lie elsewhere, in the middle of all."""

CONTRAST, NEARER = 25.0, 0.25
"""Bits between the reference's pictures and those that other lines lead to, in the middle of all,
at least, where it is asked whether a line of features is of another moment; and the part of them by
which the upload's pictures must lie nearer on it than elsewhere. (Of copies of those cameras they
do by 0.42 and more, of another hour on such a line they lie further away on it.)"""

OVERLAID = 10.0
"""Bits by which they may lie further from other lines than the reference's own: more where much
lies over them, or where they were altered so much that hashes tell nothing."""


def lies_elsewhere(
    alignment: Alignment, query: Fingerprint, known: Callable[[], Sequence[Fingerprint]]
) -> bool:
    """Whether the pictures of the `query`, which show all of the reference's, are at another moment
    than that at which features have found them (`alignment`, of one line): whether each track of
    the reference that can be asked says so. `known`: as of `tells_its_line`."""
    if alignment.speed <= 0 or len(alignment.frames) < FEWEST:
        return False
    if np.ptp(_moments(alignment)) > 2 * AWAY_S:  # played otherwise: any line leads some elsewhere
        return False
    said = [_elsewhere(alignment, query, one) for one in _tracks(known())]
    return True in said and False not in said


def _elsewhere(alignment: Alignment, query: Fingerprint, known: Fingerprint) -> bool | None:
    """None where a track does not tell."""
    rows, led = _led(alignment, query)
    if len(rows) < FEWEST:
        return None
    own = known.codes[_rows_at(led, known)]
    shown, its = (
        _held(codes, led, known, AROUND_S, MOST_LINES) for codes in (query.codes[rows], own)
    )
    if shown is None or its is None:
        return None
    apart, elsewhere = float(np.median(its.away)), float(np.median(shown.away))
    if apart < CONTRAST or elsewhere > apart + OVERLAID:
        return None
    return shown.on > elsewhere - NEARER * apart


def tells_its_line(
    alignment: Alignment, query: Fingerprint, known: Callable[[], Sequence[Fingerprint]]
) -> bool:
    """Whether an alignment of the `query` by PDQ, at about the normal speed, lies on one line of
    time, and not on one of many. `known` gives the reference's fingerprints by PDQ; it is called
    only where the alignment is close enough to be asked."""
    if alignment.signal_type != "pdq" or not (alignment.speed > 0 and usual(alignment.speed)):
        return False
    distances = [f.distance for f in alignment.frames]
    if len(distances) < FEWEST or float(np.mean(distances)) > CLOSE:
        return False
    return any(_told(alignment, query, one) for one in _tracks(known()))


def _tracks(known: Sequence[Fingerprint]) -> list[Fingerprint]:
    return [one for one in known if one.view is View.FULL and len(one)]


def _told(alignment: Alignment, query: Fingerprint, known: Fingerprint) -> bool:
    rows, led = _led(alignment, query)
    held = _held(query.codes[rows], led, known, NEAR_S)
    return held is not None and held.on <= min(CLOSE, float(held.away.min()) - CLEARLY)


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """Bits between pictures and the reference, on average: `on` a line, and `away` from it on
    others (lines,)."""

    on: float
    away: Floats


def _led(alignment: Alignment, query: Fingerprint) -> tuple[Ints, Floats]:
    """The query's pictures that lie within the alignment, or some of them, spread evenly: their
    rows; and where its line leads them, in seconds of the reference."""
    first, last = (pick(f.offset for f in alignment.frames) for pick in (min, max))
    during = np.flatnonzero((query.offsets >= first) & (query.offsets <= last))
    if not len(during):
        return during, np.empty(0)
    rows = during[np.unique(np.linspace(0, len(during) - 1, MOST).round().astype(np.int64))]
    line = float(np.median(_moments(alignment)))
    return rows, alignment.speed * query.offsets[rows] + line


def _moments(alignment: Alignment) -> Floats:
    """(frames,) where in the reference each frame has the upload's first second."""
    return np.array([f.reference_offset - alignment.speed * f.offset for f in alignment.frames])


def _held(
    codes: Codes, led: Floats, known: Fingerprint, near: float, most: int | None = None
) -> _Held | None:
    """The pictures held against the reference on the line that leads them there, or up to `near`
    seconds beside it, and on all others, or `most` of them; None where there are too few."""
    if not len(led):
        return None
    end = float(known.offsets[-1] + known.spans[-1])
    step = STEP_S if most is None else max(STEP_S, (end + led[-1] - led[0]) / most)
    others = np.arange(-led[-1], end - led[0], step)
    shifts = np.concatenate([np.arange(-near, near + 1e-6, STEP_S / 2), others])
    apart, enough = _distances(codes, led, shifts, known, end)
    on, away = np.abs(shifts) <= near + 1e-6, np.abs(shifts) > AWAY_S
    if not np.any(on & enough) or np.count_nonzero(away & enough) < FEWEST_LINES:
        return None
    return _Held(float(apart[on & enough].min()), apart[away & enough])


def _rows_at(moments: Floats, known: Fingerprint) -> Ints:
    """The reference's picture that is shown at each of the moments; the first before all."""
    return (np.searchsorted(known.offsets, moments + 1e-6, side="right") - 1).clip(0)


def _distances(
    codes: Codes, led: Floats, shifts: Floats, known: Fingerprint, end: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """(lines,) the bits between the pictures and what each line, later by its shift, leads them to,
    on average; and whether it leads enough of them anywhere."""
    words, theirs = (np.ascontiguousarray(some).view(np.uint64) for some in (codes, known.codes))
    sums, counts = np.zeros(len(shifts)), np.zeros(len(shifts))
    for word, moment in zip(words, led.tolist(), strict=True):
        at = moment + shifts
        there = (at >= known.offsets[0] - STEP_S) & (at <= end + STEP_S)
        bits = np.bitwise_count(theirs[_rows_at(at, known)] ^ word).sum(axis=1)
        sums += np.where(there, bits, 0)
        counts += there
    return sums / np.maximum(counts, 1), counts >= LEAST_PART * len(led)
