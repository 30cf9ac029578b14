"""Pictures in which there is little: of nearly one shade, or without an edge. Pure."""

from __future__ import annotations

import numpy as np

from hashdb.model import Floats
from matcher.ports import AnyLuma

# A picture of which more than this part is one shade (+- 4 of 255) is a title card, a slate, a
# caption on black: its code is its layout, which others share. Of the frames of 40 real videos
# only title cards lay above it; the next were a star field at 0.76 and a window at 0.74.
FLAT_GROUND = 0.8
# Of one of which less than a hundredth is another shade there is nothing but a logo in a corner.
# Not where the shade is dark: of a night compression leaves little, and it may be much.
EMPTY_GROUND, DARK = 0.99, 48
# How far neighbouring ones of a picture's 64 x 64 samples may differ where there is no edge.
BLANK_LEVELS, SMALLEST_BLANK = 8, 16
# Bars have edges in so many columns of samples at least, and in so few rows, or the other way.
FEWEST_BARS, MOST_CUTS = 5, 2
_GROUND_SAMPLES = 128
_SHADES = np.ones(9, dtype=np.int64)


def flat_ground(luma: AnyLuma) -> bool:
    """Whether nearly all of the picture is of one shade: see `FLAT_GROUND`."""
    return ground(luma)[0] > FLAT_GROUND


def ground(luma: AnyLuma) -> tuple[float, int]:
    """The part of the picture that is of one shade, give or take 4 of 255, and that shade."""
    height, width = luma.shape
    down, across = max(1, height // _GROUND_SAMPLES), max(1, width // _GROUND_SAMPLES)
    some = luma[::down, ::across].astype(np.uint8, copy=False)
    counts = np.convolve(np.bincount(some.ravel(), minlength=256), _SHADES, "same")
    shade = int(counts.argmax())
    return float(counts[shade] / some.size), shade


def blank(luma: AnyLuma, square: Floats, *, but_for_a_logo: bool = False) -> bool:
    """Whether there is no edge in the picture (black, one colour, a smooth slope), give or take
    what compression leaves, or none but a logo's, or those of bars that go from side to side: there
    is nothing in it that could be missed. Of a video only: an image that is blank for us may be one
    that could not be decoded as others do.

    `square` (64, 64): the picture reduced.
    """
    level, upright = (np.abs(np.diff(square, axis=axis)) > BLANK_LEVELS for axis in (0, 1))
    few, many = sorted((int(level.any(axis=1).sum()), int(upright.any(axis=0).sum())))
    bars = few <= MOST_CUTS and many >= FEWEST_BARS
    return (but_for_a_logo or many == 0 or bars) and min(luma.shape) >= SMALLEST_BLANK
