"""What moves in an upload, held against a reference on all lines of time. Pure.

Once it is known how the reference lies in the upload, all of the picture can be compared: where and
when it is brighter or darker than usual (background subtraction), and how each picture differs from
the one before. `matcher.motion` has the rules by which a line is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Floats, Ints, Motion
from matcher import verify

STEP_S = 0.125
"""Seconds between the lines that are compared."""

MOST = 20.0
"""Levels of 255: what changes by more tells no more."""

FEWEST_CELLS, FEWEST_SHOTS, LEAST_PART = 6, 5, 0.6
"""Cells of the reference that the upload shows; shots; the part of them that a line must lead to
the reference."""

LEAST_MOVING = 0.75
"""The part of all that moves in the upload, by its power, that a line must lead to the reference: a
car that leaves as another one did is one event, and what moves where the reference has ended speaks
against it. (Of the benchmark's copies the right lines lead 0.95 and more; of fixed cameras those of
other hours 0.5 and less.)"""

MOST_APART_S = 2.0
"""Pictures further apart have no change in common."""

OFTEN = 0.8
"""Part of the pictures that have maps of their own in which a cell must lie to be compared."""

MOVES = 0.5
"""Levels (root mean square) below which nothing moves in an upload: it may be a still picture."""

MOST_SEARCHED, FEWEST_SEARCHED = 60_000_000, 20
"""Pictures of an upload, of all lines of all speeds together, that are held against a reference:
two seconds of work by how they differ from the usual, and three by what changes. Where there are
more (ten minutes of both, or an hour of the reference and a minute of the upload), fewer pictures
are held, down to the second number. Beside references of which so many are too many, too (two and a
half hours), none are, however short the upload is: memory grows with the lines, too."""

_SUB = 4  # samples to each side of a cell
_AT_ONCE = 100_000  # pictures, of all lines together, that are held at once: some megabytes
_GROUP = 16  # lines: a multiple of those that BLAS sums up together

Grids = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Line:
    """`reference = speed * upload + offset`, seconds."""

    speed: float
    offset: float


@dataclass(frozen=True, slots=True, eq=False)
class Laid:
    """How a reference's picture lies in the upload's: `map` (2, 3) takes places in a picture of
    `reference_size` (width, height) to places in one of `upload_size`, which is seen in a mirror,
    or with its brightness inverted, where it says so. `own_maps`: those of the upload's pictures by
    their offset in seconds, where each has another; of the others nothing is known."""

    map: verify.Map
    reference_size: tuple[float, float]
    upload_size: tuple[float, float]
    mirrored: bool = False
    inverted: bool = False
    own_maps: Mapping[float, verify.Map] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """What the upload shows (n, cells) `at` n moments and what is known (m, cells) of m, how much
    each is `alike` (n, m) and how strong; `band` (k, m): of what is known at two of the m, so many
    after each other."""

    at: Floats
    shown: Grids
    moments: Floats
    known: Grids
    alike: Grids
    power_shown: Grids
    power_known: Grids
    band: Grids


def moves_little(grids: NDArray[np.generic]) -> bool:
    """Whether next to nothing changes in (n, cells) or (n, side, side): it may be one picture."""
    flat = grids.reshape(len(grids), -1).astype(np.float32)
    return float(np.sqrt(np.mean(np.square(away_from_usual(flat))))) < MOVES


def cells_of(offsets: Floats, laid: Laid, upload: Motion, reference: Motion) -> Cells | None:
    """What both show in the cells of the reference that lie in the upload, of the upload's pictures
    those at `offsets` (n,), seconds; None where that is too little to compare."""
    return _cells_of(_rows(offsets, laid, upload), laid, upload, reference)


def cells_to_search(
    offsets: Floats, laid: Laid, upload: Motion, reference: Motion, speeds: Floats
) -> Cells | None:
    """The same, to be held against the reference on all lines of these speeds: of no more pictures
    than `MOST_SEARCHED` allows, and None where that is fewer than `FEWEST_SEARCHED`."""
    rows = _rows(offsets, laid, upload)
    if len(rows) < FEWEST_SHOTS or len(reference) < FEWEST_SHOTS:
        return None
    at = upload.offsets[rows]
    lines = sum(len(_offsets(speed, at, reference.offsets)) for speed in speeds.tolist())
    if FEWEST_SEARCHED * lines > MOST_SEARCHED:
        return None
    if len(rows) * lines > MOST_SEARCHED:
        rows = _thinned(rows, MOST_SEARCHED // lines)
    return _cells_of(rows, laid, upload, reference)


def _rows(offsets: Floats, laid: Laid, upload: Motion) -> Ints:
    """Which of the upload's pictures are at these offsets, and have maps if each has its own."""
    if laid.own_maps is not None:
        offsets = np.intersect1d(offsets, list(laid.own_maps))
    rows: Ints = np.flatnonzero(np.isin(upload.offsets, offsets))
    return rows


def _thinned(rows: Ints, most: int) -> Ints:
    """At most so many of them, spread evenly from the first to the last, by two that follow on each
    other: what changes in between is compared, too."""
    pairs = most // 2
    first = np.arange(pairs) * (len(rows) - 2) // (pairs - 1)
    thinned: Ints = rows[np.unique(np.concatenate([first, first + 1]))]
    return thinned


def _cells_of(rows: Ints, laid: Laid, upload: Motion, reference: Motion) -> Cells | None:
    """As `cells_of`, by which of the upload's pictures (n,)."""
    if len(rows) < FEWEST_SHOTS or len(reference) < FEWEST_SHOTS:
        return None
    side = reference.grids.shape[1]
    if laid.own_maps is None:
        grids = _under(laid, upload.grids[rows], side)
    elif upload.usual is None:
        return None
    else:
        own = [replace(laid, map=laid.own_maps[at]) for at in upload.offsets[rows].tolist()]
        grids = _each_under(own, upload.usual.astype(np.float32) + upload.grids[rows], side)
    seen = ~np.isnan(grids[0])
    if np.count_nonzero(seen) < FEWEST_CELLS:
        return None
    if laid.inverted:
        grids = -grids
    shown = away_from_usual(grids[:, seen])
    known = away_from_usual(reference.grids[:, seen].astype(np.float32))
    return Cells(
        upload.offsets[rows],
        shown,
        reference.offsets,
        known,
        shown @ known.T,
        np.square(shown).sum(axis=1),
        np.square(known).sum(axis=1),
        _band(known, reference.offsets),
    )


def _band(known: Grids, moments: Floats) -> Grids:
    """(k, m) the products of each row and each of those up to `MOST_APART_S` later, at double
    speed."""
    apart = max(1e-3, float(np.median(np.diff(moments))))
    band = np.zeros((int(2 * MOST_APART_S / apart) + 2, len(known)), dtype=np.float32)
    for lag in range(min(len(band), len(known))):
        band[lag, : len(known) - lag] = (known[: len(known) - lag] * known[lag:]).sum(axis=1)
    return band


def _under(laid: Laid, grids: NDArray[np.int8] | Grids, side: int) -> Grids:
    """(n, side, side) the upload's grids as they lie under the reference's cells; nan where they
    do not."""
    finer = grids.shape[1]
    at = (np.arange(side * _SUB) + 0.5) / (side * _SUB)
    x, y = np.meshgrid(at * laid.reference_size[0], at * laid.reference_size[1])
    places = verify.mapped(laid.map, np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32))
    column, row = (
        np.floor(places[:, i] / laid.upload_size[i] * finer).astype(np.int64) for i in (0, 1)
    )
    inside = (column >= 0) & (column < finer) & (row >= 0) & (row < finer)
    if laid.mirrored:
        column = finer - 1 - column
    values = grids[:, row.clip(0, finer - 1), column.clip(0, finer - 1)].astype(np.float32)
    sums, counts = (
        v.reshape(-1, side, _SUB, side, _SUB).sum(axis=(2, 4))
        for v in (values * inside, inside[None].astype(np.float32))
    )
    return np.where(counts >= _SUB * _SUB / 2, sums / np.maximum(counts, 1), np.nan)


def _each_under(each: Sequence[Laid], bright: Grids, side: int) -> Grids:
    """As `_under`, each picture as it is laid itself; nan in cells that many of them do not show,
    and the usual where few do not. `bright` (n, s, s): how bright they are, for what they are above
    the upload's median says nothing of the place once they are laid elsewhere."""
    grids = np.concatenate(
        [_under(laid, grid[None], side) for laid, grid in zip(each, bright, strict=True)]
    )
    gone = np.isnan(grids)
    often = gone.mean(axis=0) <= 1 - OFTEN
    usual = np.nanmedian(np.where(often, grids, 0.0), axis=0)
    return np.where(often, np.where(gone, usual, grids), np.nan).astype(np.float32)


def away_from_usual(cells: Grids) -> Grids:
    """(n, cells) how each picture differs from the usual in each place, not as a whole."""
    away = (cells - np.median(cells, axis=0)).astype(np.float32, copy=False)
    away -= np.median(away, axis=1, keepdims=True)
    return np.clip(away, -MOST, MOST, out=away)


Products = Callable[[Cells, Ints, NDArray[np.bool_]], tuple[Floats, Floats]]
"""Of cells, the (lines, n) rows of the reference that each line leads the upload's pictures to, and
whether it leads them anywhere: what both sum up to (lines,), and the power of both."""


def correlations(
    cells: Cells, speeds: Floats, products: Products, least_moving: float = LEAST_MOVING
) -> tuple[Floats, Floats]:
    """(k, 2) speeds and offsets of all lines that lead enough of the upload, and of what moves in
    it, to the reference, and the correlation on each, -1 to 1. Lines are held against it in blocks,
    so that memory does not grow with their number."""
    at, moments = cells.at, cells.moments
    lines, told = [], []
    for speed in speeds.tolist():
        for offsets in _in_blocks(_offsets(speed, at, moments), len(at)):
            led = speed * at[None, :] + offsets[:, None]
            column = np.searchsorted(moments, led - STEP_S).clip(0, len(moments) - 1)
            near = np.abs(moments[column] - led) <= 2 * STEP_S
            product, power = products(cells, column, near)
            enough = (near.sum(axis=1) >= LEAST_PART * len(at)) & (power > 1e-6)
            enough &= near @ cells.power_shown >= least_moving * cells.power_shown.sum()
            lines.append(np.column_stack([np.full(len(offsets), speed), offsets])[enough])
            told.append(product[enough] / np.sqrt(power[enough]))
    return np.concatenate(lines), np.concatenate(told).astype(np.float64)


def _offsets(speed: float, at: Floats, moments: Floats) -> Floats:
    """(lines,) seconds, of all lines of that speed that lead enough of what is between the first
    and the last of `at` (n,) to the `moments` (m,)."""
    reach = LEAST_PART * (at[-1] - at[0])
    first = moments[0] - speed * (at[-1] - reach)
    return np.arange(first, moments[-1] - speed * (at[0] + reach) + 1e-6, STEP_S)


def _in_blocks(offsets: Floats, pictures: int) -> Iterator[Floats]:
    """The offsets, as many at a time as `_AT_ONCE` has room for with so many pictures. BLAS sums up
    a line as it does where all are held at once, if blocks are whole groups of its kernels, and
    none is of one line alone."""
    lines = max(1, _AT_ONCE // pictures // _GROUP) * _GROUP
    for start, end in pairwise([*range(0, max(1, len(offsets) - 1), lines), len(offsets)]):
        yield offsets[start:end]


def of_levels(cells: Cells, column: Ints, near: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How the pictures differ from the usual."""
    rows = np.arange(len(cells.at))[None, :]
    shown, known = cells.power_shown[rows], cells.power_known[column]
    power = (shown * near).sum(axis=1) * (known * near).sum(axis=1)
    return (cells.alike[rows, column] * near).sum(axis=1), power


def of_steps(cells: Cells, column: Ints, near: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """How each picture differs from the one before."""
    alike, band = cells.alike, cells.band
    now, then = np.arange(1, len(cells.at))[None, :], np.arange(len(cells.at) - 1)[None, :]
    later, earlier = column[:, 1:], column[:, :-1]
    apart = (later - earlier).clip(0, len(band) - 1)
    both = near[:, 1:] & near[:, :-1] & (np.diff(cells.at) <= MOST_APART_S)
    both &= later - earlier < len(band)
    shown = (
        cells.power_shown[1:]
        + cells.power_shown[:-1]
        - 2 * (cells.shown[1:] * cells.shown[:-1]).sum(axis=1)
    )
    known = cells.power_known[later] + cells.power_known[earlier] - 2 * band[apart, earlier]
    product = alike[now, later] - alike[now, earlier] - alike[then, later] + alike[then, earlier]
    power = (shown[None, :] * both).sum(axis=1) * (known * both).sum(axis=1)
    return (product * both).sum(axis=1), power
