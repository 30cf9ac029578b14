"""Where in a picture evidence lies: sets of cells of a grid over it, as bits of a number. Pure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SIDE = 16
"""Cells to either side of a picture, whatever its shape: one is a sixteenth of its width."""

IN_PLACE = 0.5
"""The part of the cells that must lie where others are: of one picture not all features are found
twice, and what lies beside another one touches it."""

IN_PANE = 0.25
"""The same of a pane's cells, of which some are plain."""

NEARLY_ALL = 0.6
"""The part of a picture from which on features are all over it."""

_EDGE, _ROUNDED = 0.2, 0.1
"""Parts of a cell: a box that ends so near the picture's edge ends there; a box is in whole numbers
of 255ths."""

_ALL = (1 << SIDE * SIDE) - 1
_LEFT = sum(1 << SIDE * row for row in range(SIDE))
_RIGHT = _LEFT << SIDE - 1


def cells_at(
    places: NDArray[np.floating], width: int, height: int, *, mirrored: bool = False
) -> int:
    """The cells in which `places` (n, 2+) lie: pixels, x and y, of a picture of that size. Bit
    `SIDE * row + column`. `mirrored`: the places are of the picture in a mirror."""
    found = 0
    for bit in set(_bits(places, width, height, mirrored=mirrored).tolist()):
        found |= 1 << bit
    return found


def lies_in(places: NDArray[np.floating], width: int, height: int, cells: int) -> NDArray[np.bool_]:
    """(n,) which `places`, as of `cells_at`, lie in the cells."""
    inside = np.array([cells >> bit & 1 for bit in range(SIDE * SIDE)], dtype=np.bool_)
    return np.asarray(inside[_bits(places, width, height)])


def _bits(
    places: NDArray[np.floating], width: int, height: int, *, mirrored: bool = False
) -> NDArray[np.int64]:
    at = np.clip((places[:, :2] * SIDE / (width, height)).astype(np.int64), 0, SIDE - 1)
    columns = SIDE - 1 - at[:, 0] if mirrored else at[:, 0]
    return np.asarray(at[:, 1] * SIDE + columns)


def cells_within(left: int, top: int, right: int, bottom: int) -> int:
    """The cells of a box (255ths of the picture's sides) that lie a cell or more within those of
    its sides that are not the picture's own: nothing beside it touches them. One at least."""
    columns, rows = _inner(left, right), _inner(top, bottom)
    return sum(1 << row * SIDE + column for row in rows for column in columns)


def _inner(first: int, last: int) -> range:
    low, high = first * SIDE / 255, last * SIDE / 255
    begin = 0 if low < _EDGE else math.ceil(low - _ROUNDED) + 1
    end = SIDE if high > SIDE - _EDGE else math.floor(high + _ROUNDED) - 1
    middle = min(SIDE - 1, int((low + high) / 2))
    return range(begin, end) if begin < end else range(middle, middle + 1)


def grown(cells: int) -> int:
    """These cells and those that touch them, by a side or a corner."""
    wide = cells | (cells & ~_RIGHT) << 1 | (cells & ~_LEFT) >> 1
    return (wide | wide << SIDE | wide >> SIDE) & _ALL


def in_place(cells: int, others: int, part: float = IN_PLACE) -> bool:
    """Whether a good `part` of the `cells` is where the `others` are, or touches them."""
    return (cells & grown(others)).bit_count() >= part * cells.bit_count()


def nearly_all(cells: int) -> bool:
    """Whether what is seen there fills the picture."""
    return grown(cells).bit_count() >= NEARLY_ALL * SIDE * SIDE
