"""Where in a picture evidence lies, in sets of cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matcher.cells import SIDE, cells_at, cells_within, grown, in_place, nearly_all


def cell(column: int, row: int) -> int:
    return 1 << row * SIDE + column


def block(columns: range, rows: range) -> int:
    return sum(cell(column, row) for column in columns for row in rows)


def places(*some: tuple[float, float]) -> np.ndarray:
    return np.array([(x, y, 31, 0) for x, y in some], dtype=np.float32).reshape(-1, 4)


WHOLE = block(range(SIDE), range(SIDE))


def test_places_are_in_the_cells_of_their_own_pictures_sides():
    found = cells_at(places((0, 0), (3, 1), (320, 90), (639.9, 359.9)), 640, 360)
    assert found == cell(0, 0) | cell(8, 4) | cell(15, 15)
    assert cells_at(places((640, 360), (-1, 0)), 640, 360) == cell(15, 15) | cell(0, 0)
    assert cells_at(places(), 640, 360) == 0


def test_a_mirrors_places_are_those_of_the_upright_picture():
    assert cells_at(places((10, 90)), 640, 360, mirrored=True) == cell(15, 4)


def test_cells_grow_by_those_that_touch_them_and_not_around_the_edges():
    assert grown(cell(5, 5)) == block(range(4, 7), range(4, 7))
    assert grown(cell(0, 0)) == block(range(2), range(2))
    assert grown(cell(15, 15)) == block(range(14, 16), range(14, 16))
    assert grown(cell(15, 3)) == block(range(14, 16), range(2, 5))
    assert grown(0) == 0
    assert grown(WHOLE) == WHOLE


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 0, 255, 255), WHOLE),
        ((128, 0, 255, 128), block(range(9, 16), range(7))),
        ((64, 64, 191, 191), block(range(5, 11), range(5, 11))),
        ((1, 2, 130, 253), block(range(7), range(16))),
        ((100, 100, 110, 110), cell(6, 6)),
        ((254, 254, 255, 255), cell(15, 15)),
    ],
)
def test_a_boxs_cells_touch_nothing_beside_it(box: tuple[int, int, int, int], expected: int):
    assert cells_within(*box) == expected


@given(st.tuples(*[st.integers(0, 254)] * 2), st.tuples(*[st.integers(1, 255)] * 2))
def test_what_lies_beside_a_box_is_not_in_its_place(corner: tuple[int, int], size: tuple[int, int]):
    (left, top), (width, height) = corner, size
    right, bottom = min(255, left + width), min(255, top + height)
    inside = cells_within(left, top, right, bottom)
    assert inside
    if min(right - left, bottom - top) < 4 * 255 / SIDE:
        return  # perhaps no cell is left within
    x, y = np.meshgrid(np.arange(255), np.arange(255))
    beside = (x < left - 3) | (x > right + 3) | (y < top - 3) | (y > bottom + 3)
    others = cells_at(np.column_stack([x[beside], y[beside]]), 255, 255)
    assert not inside & grown(others)


def test_what_is_mostly_where_others_are_is_in_their_place():
    film = block(range(8), range(16))
    assert in_place(block(range(2, 6), range(3, 9)), film)
    assert in_place(block(range(7, 10), range(1)), film)  # of three cells one touches it
    assert not in_place(block(range(8, 16), range(16)), film)
    assert in_place(block(range(8, 16), range(1)), film, 0.125)


def test_features_all_over_are_nearly_all():
    sparse = sum(cell(column, row) for column in range(1, 16, 3) for row in range(1, 16, 3))
    assert nearly_all(sparse)
    assert not nearly_all(block(range(8), range(16)))
