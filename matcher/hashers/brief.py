"""ORB's codes of corners, in all renderings of a picture at once, by Numba (the extra `fast`).

A code is 256 comparisons of brightness around a corner, by a pattern of places that is turned by
the corner's angle ("steered BRIEF": Rublee et al., "ORB: an efficient alternative to SIFT or SURF",
ICCV 2011), in the picture reduced to the corner's octave and smoothed. The codes are OpenCV's to
the bit; but it reduces and smooths the picture once more for a mirror, and wants its corners as
objects.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes
from matcher.hashers.pattern import ACROSS, DOWN

Corners = NDArray[np.float64]
"""(n, 6): x, y, diameter, angle in degrees, strength, octave, as OpenCV has them."""

SCALE = 1.25
"""From one octave of the picture to the next."""

EDGE = 31
"""Pixels of an octave from its edges within which no corner lies: the pattern would lead out."""

_KERNEL = cv2.getGaussianKernel(7, 2.0)  # as numbers that are not rounded, as ORB has it
_ROUNDING = np.float32(
    1.5 * 2**23
)  # what is added to it is rounded to a whole number, half to even


def _describe(
    pixels: Any, starts: Any, widths: Any, octaves: Any, places: Any, turns: Any,
    across: Any, down: Any, rounding: Any, straight: Any, mirrored: Any, codes: Any,
) -> None:  # fmt: skip
    """Into `codes` (1 or 4, n, 32): plain; mirrored, inverted, both. Indices are unsigned: Numba
    looks at each that might be negative, which takes as long again. `places` (2, n): pixels of the
    octave; `turns` (2, n): cosine and sine. `straight` and `mirrored` (512,): room for the steps
    from a corner to each place of the pattern, as it is turned and as it is in a mirror."""
    for i in range(len(octaves)):
        cos, sin, width = turns[0, i], turns[1, i], widths[octaves[i]]
        for k in range(len(across)):
            x = (across[k] * cos - down[k] * sin + rounding) - rounding
            y = (across[k] * sin + down[k] * cos + rounding) - rounding
            straight[k] = np.int32(y) * width + np.int32(x)
            x = (across[k] * cos + down[k] * sin + rounding) - rounding
            y = (across[k] * sin - down[k] * cos + rounding) - rounding
            mirrored[k] = np.int32(y) * width + np.int32(x)
        at = starts[octaves[i]] + places[1, i] * width + places[0, i]
        for byte in range(32):
            plain = mirror = inverse = both = np.uint8(0)
            for bit in range(8):
                k, one = 16 * byte + 2 * bit, np.uint8(1 << bit)
                first, second = straight[k], straight[k + 1]
                if pixels[np.uint64(at + first)] < pixels[np.uint64(at + second)]:
                    plain |= one
                if pixels[np.uint64(at - first)] >= pixels[np.uint64(at - second)]:
                    inverse |= one
                first, second = mirrored[k], mirrored[k + 1]
                if pixels[np.uint64(at + first)] < pixels[np.uint64(at + second)]:
                    mirror |= one
                if pixels[np.uint64(at - first)] >= pixels[np.uint64(at - second)]:
                    both |= one
            codes[0, i, byte] = plain
            if len(codes) > 1:
                codes[1, i, byte], codes[2, i, byte], codes[3, i, byte] = mirror, inverse, both


COMPILED = find_spec("numba") is not None
if COMPILED:
    from hashdb.machine import compiled

    _compiled = compiled(_describe)


def describe(picture: NDArray[np.uint8], corners: Corners, *, every: bool) -> Codes:
    """(1, n, 32) codes of the plain picture's corners, or with `every` (4, n, 32), in the order of
    `Rendering`: the same corners as they are in a mirror and in a negative.

    Compiles, or reads Numba's cache, at the first call. Corners lie `EDGE` from the edges.
    """
    octaves = corners[:, 5].astype(np.int64)
    pixels, starts, widths = _smoothed(picture, int(octaves.max()) + 1)
    shrunk = np.float32(1) / np.float32(SCALE) ** np.arange(len(starts), dtype=np.float32)
    at = np.stack([corners[:, 0], corners[:, 1]]).astype(np.float32)
    places = np.rint(at * shrunk[octaves]).astype(np.int64)
    angles = np.radians(corners[:, 3])
    turns = np.stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    codes = np.empty((4 if every else 1, len(corners), 32), np.uint8)
    room = np.empty((2, len(ACROSS)), np.int64)
    _compiled(
        pixels, starts, widths, octaves, places, turns,
        ACROSS, DOWN, _ROUNDING, room[0], room[1], codes,
    )  # fmt: skip
    return codes


def _smoothed(
    picture: NDArray[np.uint8], octaves: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """The picture's octaves, smoothed, one after the other; where each begins, and its width."""
    height, width = picture.shape
    scales = np.float32(SCALE) ** np.arange(octaves, dtype=np.float32)
    widths, heights = (np.rint(n / scales).astype(np.int64) for n in (width, height))
    ends = np.cumsum(widths * heights)
    pixels = np.empty(ends[-1], np.uint8)
    shown: Any = picture
    for octave, (across, down) in enumerate(zip(widths.tolist(), heights.tolist(), strict=True)):
        if octave:
            shown = cv2.resize(shown, (across, down), interpolation=cv2.INTER_LINEAR_EXACT)
        room = pixels[ends[octave] - across * down : ends[octave]].reshape(down, across)
        cv2.sepFilter2D(shown, -1, _KERNEL, _KERNEL, room, borderType=cv2.BORDER_REFLECT_101)
    return pixels, ends - widths * heights, widths


def warm() -> None:
    """Compile now, not with the first picture."""
    if COMPILED:
        corners = np.array([[EDGE, EDGE, 31.0, 0.0, 1.0, 0.0]] * 2)
        describe(np.zeros((2 * EDGE + 1,) * 2, np.uint8), corners, every=True)
