"""What moves, of long uploads beside long references: in bounded memory and time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hashdb.model import Floats, Ints, Motion
from matcher import correlation, every_picture, motion
from matcher.correlation import (
    FEWEST_SEARCHED,
    Cells,
    Laid,
    Line,
    Products,
    cells_of,
    cells_to_search,
    correlations,
    of_levels,
    of_steps,
)
from matcher.features import QUERY_GRID, REFERENCE_GRID
from matcher.localize import FORWARD
from matcher.motion import (
    MOST_MOMENTS,
    agreement_on,
    coincides,
    compare,
    confirmed,
    laid_whole,
    leads_to,
    stands_still,
)
from tests.standing_camera import scene, watched

WHOLE = laid_whole()


def noise(seconds: float, gap: float, side: int) -> Motion:
    """Anything that moves."""
    offsets = np.arange(0, seconds, gap)
    grids = np.random.default_rng(1).integers(-20, 20, (len(offsets), side, side), dtype=np.int8)
    return Motion(offsets, grids, usual=np.zeros((side, side), np.uint8))


def held(pictures: int, moments: int, seed: int) -> Cells:
    """Of an upload and a reference whose pictures are not evenly apart."""
    rng = np.random.default_rng(seed)
    reference, upload = noise(moments / 4, 0.25, 4), noise(pictures, 1.0, 4)
    upload.offsets[:] += rng.uniform(-0.3, 0.3, pictures)
    reference.offsets[:] += rng.uniform(-0.1, 0.1, moments)
    cells = cells_of(upload.offsets, WHOLE, upload, reference)
    assert cells is not None
    return cells


@pytest.mark.parametrize("products", [of_levels, of_steps])
@pytest.mark.parametrize(("pictures", "moments"), [(11, 300), (40, 600), (7, 50), (90, 70)])
def test_lines_are_held_in_blocks_and_nothing_differs(
    products: Products, pictures: int, moments: int, monkeypatch: pytest.MonkeyPatch
):
    sizes = list[int]()

    def counted(cells: Cells, column: Ints, near: np.ndarray) -> tuple[Floats, Floats]:
        sizes.append(column.size)
        return products(cells, column, near)

    cells = held(pictures, moments, pictures)
    monkeypatch.setattr(correlation, "_AT_ONCE", 10**9)
    lines, told = correlations(cells, FORWARD, counted)
    assert len(sizes) == len(FORWARD)
    sizes.clear()
    monkeypatch.setattr(correlation, "_AT_ONCE", 2000)
    again, told_again = correlations(cells, FORWARD, counted)
    assert max(sizes) <= 2000 + pictures  # one line more, where it would be alone
    np.testing.assert_array_equal(again, lines)
    np.testing.assert_array_equal(told_again, told)


def test_a_line_is_never_held_alone_that_was_not():
    for lines in range(70):
        blocks = list(correlation._in_blocks(np.arange(float(lines)), 100_000))
        assert np.concatenate(blocks).tolist() == list(range(lines))
        assert lines < 2 or min(len(b) for b in blocks) > 1
        assert all(len(b) == 16 for b in blocks[:-1])


@pytest.fixture(scope="module")
def minutes() -> tuple[Motion, Motion]:
    """Two minutes of an upload, a picture a second, and the three of a reference that they are
    of, from 30 s on."""
    reference = watched([(t, scene(1, t)) for t in np.arange(0, 180, 0.25)], REFERENCE_GRID)
    upload = watched([(t, scene(1, 30 + t)) for t in np.arange(0.0, 120)], QUERY_GRID)
    return upload, reference


def test_of_many_pictures_some_are_held_and_tell_the_line_as_well(
    minutes: tuple[Motion, Motion], monkeypatch: pytest.MonkeyPatch
):
    upload, reference = minutes
    at = upload.offsets
    all_of_them = cells_to_search(at, WHOLE, upload, reference, FORWARD)
    assert all_of_them is not None
    np.testing.assert_array_equal(all_of_them.at, at)
    monkeypatch.setattr(correlation, "MOST_SEARCHED", 1_500_000)
    some = cells_to_search(at, WHOLE, upload, reference, FORWARD)
    assert some is not None
    assert FEWEST_SEARCHED <= len(some.at) < 40
    assert some.at[[0, -1]].tolist() == at[[0, -1]].tolist()
    apart = np.diff(some.at)
    assert set(apart[::2]) == {1.0}  # two at a time
    assert apart[1::2].max() - apart[1::2].min() <= 1.0
    told = compare(at, WHOLE, upload, reference)
    assert told is not None
    assert told.line is not None
    assert told.line.offset == pytest.approx(30.0, abs=0.3)
    assert told.line.speed == pytest.approx(1.0, abs=0.01)
    right = Line(1.0, 30.0)
    assert confirmed(right, at, WHOLE, upload, reference)
    assert coincides(right, at, WHOLE, upload, reference)
    assert leads_to(right, at, WHOLE, upload, reference)
    agreement = agreement_on(right, at, WHOLE, upload, reference)
    assert agreement is not None
    assert agreement.on > 0.8 > agreement.elsewhere + 0.2


def test_of_maps_of_their_own_too(minutes: tuple[Motion, Motion], monkeypatch: pytest.MonkeyPatch):
    upload, reference = minutes
    own = dict.fromkeys(upload.offsets[10:100].tolist(), WHOLE.map)
    laid = Laid(WHOLE.map, (1.0, 1.0), (1.0, 1.0), own_maps=own)
    monkeypatch.setattr(correlation, "MOST_SEARCHED", 2_500_000)
    some = cells_to_search(upload.offsets, laid, upload, reference, FORWARD)
    assert some is not None
    assert some.at[[0, -1]].tolist() == upload.offsets[[10, 99]].tolist()
    assert len(some.at) < 90


def test_beside_a_reference_that_is_too_long_nothing_is_told():
    upload, line = noise(600, 1.0, QUERY_GRID), Line(1.0, 30.0)
    hours = noise(2.6 * 3600, 0.25, REFERENCE_GRID)
    assert compare(upload.offsets, WHOLE, upload, hours) is None
    assert agreement_on(line, upload.offsets, WHOLE, upload, hours) is None
    for ask in (confirmed, coincides, leads_to):
        assert not ask(line, upload.offsets, WHOLE, upload, hours)
    assert compare(upload.offsets[:10], WHOLE, upload, hours) is None
    shorter = noise(2.4 * 3600, 0.25, REFERENCE_GRID)
    for pictures, are_held in ((600, 20), (10, 10)):
        some = cells_to_search(upload.offsets[:pictures], WHOLE, upload, shorter, FORWARD)
        assert some is not None
        assert len(some.at) == are_held


@pytest.mark.parametrize("rows", [21, 31, 250, 600])
def test_pictures_are_spread_evenly(rows: int):
    for most in (20, 21, 45, 200):
        some = correlation._thinned(np.arange(rows), most).tolist()
        assert len(some) <= most
        assert (some[0], some[-1]) == (0, rows - 1)
        assert all(a < b for a, b in pairwise(some))


@pytest.mark.parametrize("times", [1, 2, 5])
def test_whether_a_long_reference_stands_still_is_told_by_some_of_it(
    times: int, monkeypatch: pytest.MonkeyPatch
):
    asked, seen = motion.away_from_usual, list[int]()

    def counted(cells: correlation.Grids) -> correlation.Grids:
        seen.append(len(cells))
        return asked(cells)

    monkeypatch.setattr(motion, "away_from_usual", counted)
    reference = noise(times * MOST_MOMENTS / 4, 0.25, REFERENCE_GRID)
    assert not stands_still(reference)
    still = Motion(reference.offsets, np.zeros_like(reference.grids))
    assert stands_still(still)
    assert seen == [MOST_MOMENTS] * 2


def test_every_picture_is_not_held_against_what_is_too_long(monkeypatch: pytest.MonkeyPatch):
    """Not even the products of all pictures and all moments are made."""

    def never(*_: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(every_picture, "cells_of", never)
    upload, hours = noise(12, 1 / 30, QUERY_GRID), noise(3 * 3600, 0.25, REFERENCE_GRID)
    assert every_picture.line_by_all(np.array([0.0, 12.0]), WHOLE, upload, hours) is None
