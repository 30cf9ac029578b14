"""A place before a camera that stands still, and what moves there, as grids of motion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Motion, Rendering
from hashdb.ports import Nominee
from matcher import verify
from matcher.features import MotionWatch
from matcher.laying import Found
from matcher.sighting import Shot, Sight

WIDTH, HEIGHT = 448, 336
PLAIN = np.array([[1.0, 0, 0], [0, 1, 0]])
WINDOW = np.array([[0.5, 0, 100], [0, 0.5, 150]])
"""The reference at half its size within the upload."""

Grey = NDArray[np.float64]


def scene(hour: int, moment: float) -> Grey:
    """(64, 64): a place, before which some dots wander, others at another hour."""
    down, across = np.mgrid[0:64, 0:64]
    picture = 120.0 + 40 * np.sin(across / 5) * np.cos(down / 7)
    rng = np.random.default_rng(hour)
    for _ in range(8):
        x, y, radius = rng.uniform(0, 64), rng.uniform(0, 64), rng.uniform(3, 7)
        pace = rng.uniform(-20, 20, 2)
        at = ((x + pace[0] * moment) % 64, (y + pace[1] * moment) % 64)
        near = (across - at[0]) ** 2 + (down - at[1]) ** 2 <= radius**2
        picture[near] = rng.uniform(40, 220)
    return picture


def watched(pictures: list[tuple[float, Grey]], side: int) -> Motion:
    watch = MotionWatch(side)
    for offset, picture in pictures:
        watch.see(offset, picture)
    motion = watch.motion(0)
    assert motion is not None
    return motion


def laid(picture: Grey, by: NDArray[np.float64]) -> Grey:
    """The picture where the map (in pixels of the whole) lays it, on another, still ground."""
    out = np.tile(np.linspace(60, 180, 64), (64, 1))
    for row in range(64):
        for column in range(64):
            x, y = (column + 0.5) / 64 * WIDTH, (row + 0.5) / 64 * HEIGHT
            sx, sy = (x - by[0, 2]) / by[0, 0], (y - by[1, 2]) / by[1, 1]
            if 0 <= sx < WIDTH and 0 <= sy < HEIGHT:
                out[row, column] = picture[int(sy / HEIGHT * 64), int(sx / WIDTH * 64)]
    return out


def seen(times: list[float], by: NDArray[np.float64], rendering: Rendering) -> Found:
    """A reference found by what stands still, on a line that says nothing."""
    places = np.zeros((0, 4), np.float32)
    codes = np.zeros((0, 32), np.uint8)
    picture = verify.Picture(codes, places, WIDTH, HEIGHT)
    nominee = Nominee(0.0, 0, 0.0, codes, places, WIDTH, HEIGHT)
    none = np.empty(0, np.int64)
    agreement = verify.Agreement(by, 30, 100, 0.5, none, none)
    pairs = verify.candidates(picture, picture)
    sights = tuple(
        Sight(Shot(row, t, rendering, picture), nominee, pairs, agreement)
        for row, t in enumerate(times)
    )
    return Found(0, rendering, 1.0, 0.0, sights, len(sights), stands=True)
