"""Whether hashes tell the moment of a camera that stands still. Pure.

All its moments may lie within the radius, so that some line of time goes through what is hit. But
what comes and goes moves some bits: of a copy that shows little else each picture's code lies much
nearer to the one that its own line leads it to than to those of any other line (as `matcher.motion`
has it of what moves).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Alignment, Codes, Fingerprint, Floats, View
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
    tracks = [one for one in known() if one.view is View.FULL and len(one)]
    return any(_told(alignment, query, one) for one in tracks)


def _told(alignment: Alignment, query: Fingerprint, known: Fingerprint) -> bool:
    first, last = (pick(f.offset for f in alignment.frames) for pick in (min, max))
    during = np.flatnonzero((query.offsets >= first) & (query.offsets <= last))
    rows = during[np.unique(np.linspace(0, len(during) - 1, MOST).round().astype(np.int64))]
    moments = [f.reference_offset - alignment.speed * f.offset for f in alignment.frames]
    led = alignment.speed * query.offsets[rows] + float(np.median(moments))
    end = float(known.offsets[-1] + known.spans[-1])
    shifts = np.arange(-led[-1], end - led[0], STEP_S)
    shifts = np.concatenate([np.arange(-NEAR_S, NEAR_S + 1e-6, STEP_S / 2), shifts])
    apart, enough = _distances(query.codes[rows], led, shifts, known, end)
    on, away = np.abs(shifts) <= NEAR_S + 1e-6, np.abs(shifts) > AWAY_S
    if not np.any(on & enough) or np.count_nonzero(away & enough) < FEWEST_LINES:
        return False
    nearest = float(apart[on & enough].min())
    return nearest <= CLOSE and float(apart[away & enough].min()) >= nearest + CLEARLY


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
        row = np.searchsorted(known.offsets, at + 1e-6, side="right") - 1
        bits = np.bitwise_count(theirs[row.clip(0)] ^ word).sum(axis=1)
        sums += np.where(there, bits, 0)
        counts += there
    return sums / np.maximum(counts, 1), counts >= LEAST_PART * len(led)
