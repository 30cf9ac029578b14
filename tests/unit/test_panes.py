"""Pictures within the picture are found where they lie, and their hash is the picture's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from matcher.hashers import pdq
from matcher.hashers.panes import MOST, SCALED, PaneFinder
from matcher.ports import Pane
from tests.golden.pictures import KINDS, hills

Luma = NDArray[np.uint8]
STORED = np.load(Path(__file__).parents[1] / "golden" / "pdq_frames.npz", allow_pickle=False)
NEAR = 31  # PDQ's published radius


def scaled(luma: Luma, width: int, height: int) -> Luma:
    return np.asarray(Image.fromarray(luma).resize((width, height), Image.Resampling.BILINEAR))


def real() -> list[Luma]:
    """Frames of real videos with enough to see in them, of one size."""
    frames = []
    for name in STORED.files:
        luma = np.asarray(Image.fromarray(STORED[name]).convert("L"))
        if luma.shape[1] > luma.shape[0] and pdq.look(luma).quality >= 80:
            frames.append(scaled(luma, 640, 360))
    return frames


REAL = real()
GROUNDS, COPIES = REAL[::2], REAL[1::2]


def distance(luma: Luma, picture: Luma) -> int:
    one, other = (np.frombuffer(pdq.hash(some)[0], np.uint8) for some in (luma, picture))
    return int(np.bitwise_count(one ^ other).sum())


def nearest(panes: tuple[Pane | None, ...], picture: Luma) -> int:
    return min((distance(pane.luma, picture) for pane in panes if pane is not None), default=256)


def corner(ground: Luma, copy: Luma, part: float, x: float, y: float) -> Luma:
    """The copy, `part` as wide as the ground, over it: `x` and `y` of the room that is left."""
    out = ground.copy()
    small = scaled(copy, round(part * 640), round(part * 360))
    left, top = round(x * (640 - small.shape[1])), round(y * (360 - small.shape[0]))
    out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


def found(layout: list[tuple[Luma, Luma]]) -> float:
    """The part of (whole frame, copy) in which the copy is found, each in a video of one frame."""
    hits = [nearest(PaneFinder().panes(whole), copy) <= NEAR for whole, copy in layout]
    return float(np.mean(hits))


def test_there_are_pictures_to_test_with() -> None:
    assert len(GROUNDS) >= 8
    assert len(COPIES) >= 8


@pytest.mark.parametrize(("part", "least"), [(0.3, 0.3), (0.42, 0.5), (0.55, 0.6)])
@pytest.mark.parametrize(("x", "y"), [(0.05, 0.1), (0.9, 0.9), (1.0, 0.0)])
def test_a_copy_in_a_corner_is_found_in_single_frames(
    part: float, least: float, x: float, y: float
) -> None:
    """Dim frames over dim ones among them, where hardly a side is to be seen."""
    layout = [
        (corner(g, c, part, x, y), c) for g, c in zip(GROUNDS, reversed(COPIES), strict=False)
    ]
    assert found(layout) >= least
    assert all(distance(whole, copy) > NEAR for whole, copy in layout)


def test_both_halves_of_a_split_screen_are_found() -> None:
    pairs = list(zip(GROUNDS, reversed(COPIES), strict=False))
    split = [np.hstack([scaled(a, 320, 360), scaled(b, 320, 360)]) for a, b in pairs]
    assert found([(whole, a) for whole, (a, _) in zip(split, pairs, strict=True)]) >= 0.6
    assert found([(whole, b) for whole, (_, b) in zip(split, pairs, strict=True)]) >= 0.6


def test_a_panes_box_is_where_it_is() -> None:
    told = []
    for ground, copy in zip(GROUNDS, COPIES, strict=False):
        whole = corner(ground, copy, 0.5, 1.0, 0.0)
        for pane in PaneFinder().panes(whole):
            if pane is not None and distance(pane.luma, copy) <= NEAR:
                told.append(pane.box)
    assert len(told) >= 4
    for box in told:
        assert np.abs(np.array(box) - (127.5, 0, 255, 127.5)).max() <= 4


def test_what_stays_where_it_is_keeps_its_place() -> None:
    finder, places = PaneFinder(), []
    for i in range(12):
        ground = hills(360, 640, 5 + i // 2)
        frame = corner(ground, COPIES[i % len(COPIES)], 0.45, 0.95, 0.9)
        if i % 3:
            frame = corner(frame, GROUNDS[i % len(GROUNDS)], 0.3, 0.05, 0.05)
        panes = finder.panes(frame)
        told = [nearest((pane,), COPIES[i % len(COPIES)]) <= NEAR for pane in panes]
        if any(told):
            places.append(told.index(True))
    assert len(places) >= 8
    most = max(places.count(place) for place in set(places))
    assert most >= 0.8 * len(places)


def test_a_picture_without_edges_has_none() -> None:
    finder = PaneFinder()
    x, y = np.meshgrid(np.arange(640), np.arange(360))
    for seed in range(5):
        slope = ((x * (seed + 1) / 6 + y * (5 - seed) / 6) / 4).astype(np.uint8)
        assert finder.panes(slope) == (None,) * MOST


def test_a_clear_pane_is_seen_in_the_frame_in_which_it_comes() -> None:
    """News shows some footage for a second or two, of which one frame may be looked at."""
    seen = 0
    for at, copy in enumerate(reversed(COPIES[: len(GROUNDS)])):
        finder = PaneFinder()
        for before in (1, 2, 3):
            finder.panes(GROUNDS[at - before])
        seen += nearest(finder.panes(corner(GROUNDS[at], copy, 0.45, 0.9, 0.1)), copy) <= NEAR
    assert seen >= 0.25 * len(GROUNDS)


@settings(deadline=None)
@given(
    shapes=st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=4),
    kind=st.sampled_from(sorted(KINDS)),
    seed=st.integers(0, 1000),
)
def test_whatever_comes_squares_of_one_size_are_given(
    shapes: list[tuple[int, int]], kind: str, seed: int
) -> None:
    finder = PaneFinder()
    for height, width in shapes:
        panes = finder.panes(KINDS[kind](height, width, seed))
        assert len(panes) == MOST
        for pane in panes:
            if pane is None:
                continue
            assert pane.luma.shape == (SCALED, SCALED)
            assert pane.luma.dtype == np.uint8
            left, top, right, bottom = pane.box
            assert 0 <= left < right <= 255
            assert 0 <= top < bottom <= 255
