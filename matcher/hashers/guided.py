"""An upload's picture described where a reference's features should lie in it: guided matching.

A detector finds some two in five of a picture's corners again. Where a map is known that lays the
reference's picture onto the upload's, each of its features can be looked for where it should be
(Hartley and Zisserman, "Multiple View Geometry", 2nd ed. 2004, 11.6: "guided matching"): the upload
is laid back onto the reference's picture, at the scales at which its features were taken, and
described there with their angles. By numpy, and by Numba (the extra `fast`) where it is there.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Floats, Ints
from matcher.hashers.pattern import ACROSS, DOWN, PATCH
from matcher.ports import FrameFeatures, Luma

REACH = 2
"""Pixels of the scale at which a feature was taken, around the place where it should be, in which
it is looked for: maps are off by so much."""

FINEST = 0.8
"""A feature is looked for where its patch is at least so much of `PATCH` pixels large in the
upload: what is smaller was lost when the upload's picture was made small."""

APART = 0.03
"""Part by which two scales may differ to be one."""

FAR = 73
"""More bits than make a difference (`matcher.all_over.MISSING_BITS`): no more are counted."""

_SIDE = np.arange(-REACH, REACH + 1)
_STEPS = np.stack(np.meshgrid(_SIDE, _SIDE), axis=-1).reshape(-1, 2)
_STEPS = _STEPS[np.argsort((_STEPS**2).sum(axis=1), kind="stable")]  # from the middle on
_KERNEL = np.exp(-(np.arange(-3, 4) ** 2) / 8.0)  # sigma 2, as the features' own
_KERNEL = (_KERNEL / _KERNEL.sum()).astype(np.float32)
_MOST = 1e6  # of a map's numbers: beyond it lays nothing, and 32 bits do not hold it
_MARGIN = 22  # pixels: the pattern reaches 18 along an axis, and is looked for `REACH` around

Singles = NDArray[np.float32]


def sought(luma: Luma, found: Floats, reference: FrameFeatures) -> tuple[Ints, Floats]:
    """(n,) of each of the reference's features in how many bits the upload's picture differs from
    it at the nearest place within `REACH`, or `FAR`; -1 where it does not lie in the picture, or
    too small. And (n, 2) where in the upload's picture that is.

    `luma` (H, W): the upload's, as its own features were taken of it; `found` (2, 3): the map from
    the reference's pixels to its.
    """
    places = reference.places.astype(np.float64)
    if min(luma.shape) < PATCH or not np.abs(found).max() < _MOST:
        return np.full(len(places), -1, dtype=np.int64), places[:, :2].copy()
    scales = places[:, 2] / PATCH
    grown = math.sqrt(max(abs(float(np.linalg.det(found[:, :2]))), 1e-12))
    at = places[:, :2] @ found[:, :2].T + found[:, 2]
    height, width = luma.shape
    inside = (at >= 0).all(axis=1) & (at[:, 0] < width) & (at[:, 1] < height)
    inside &= np.isfinite(places).all(axis=1)  # loops that are compiled look at no bounds
    rows = np.flatnonzero(inside & (scales * grown >= FINEST))
    bits, seen = np.full(len(places), -1, dtype=np.int64), at.copy()
    reduced = _halved(luma)
    for scale in _scales(scales[rows]):
        mine = rows[np.abs(scales[rows] / scale - 1) <= APART]
        size = (round(reference.width / scale), round(reference.height / scale))
        if min(size) <= 2 * _MARGIN:
            continue
        laid = _laid(reduced, found, scale, grown, size)
        spots = np.rint(places[mine, :2] / scale).astype(np.int64)
        fits = (spots >= _MARGIN).all(axis=1) & (spots < np.array(size) - _MARGIN).all(axis=1)
        mine, spots = mine[fits], spots[fits]
        bits[mine], steps = _nearest(laid, spots, places[mine, 3], reference.codes[mine])
        seen[mine] += steps * scale @ found[:, :2].T
    return bits, seen


def _scales(some: Floats) -> list[float]:
    """The scales that occur, those within `APART` of each other once."""
    found: list[float] = []
    for scale in np.unique(some).tolist():
        if not found or scale > found[-1] * (1 + APART):
            found.append(scale)
    return found


def _halved(luma: Luma) -> list[Singles]:
    """The picture, and each half as large as the one before."""
    halves: list[Singles] = [luma.astype(np.float32)]
    while min(halves[-1].shape) >= 2 * PATCH:
        last = halves[-1]
        even = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
        rows = even[0::2] + even[1::2]
        halves.append((rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25))
    return halves


def _laid(
    reduced: list[Singles], found: Floats, scale: float, grown: float, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """The upload's picture as the reference shows it at a scale, smoothed."""
    halvings = min(len(reduced) - 1, max(0, round(math.log2(max(scale * grown, 1e-6)) - 0.2)))
    factor = 0.5**halvings
    turn, shift = found[:, :2] * (scale * factor), found[:, 2] * factor + (factor - 1) / 2
    where = np.ascontiguousarray(np.column_stack([turn, shift]), np.float32)
    return _lay(reduced[halvings], where, size)


def lay_by_table(picture: Singles, found: Singles, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(height, width) what lies where a map (2, 3) leads each pixel of that size (width, height; 4
    and more each), between the picture's pixels, smoothed; beyond its edges what lies on them."""
    width, height = size
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    most = (picture.shape[1] - 1.001, picture.shape[0] - 1.001)
    across, down = (
        np.clip(a * x + b * y + start, 0, end)
        for (a, b, start), end in zip(found, most, strict=True)
    )
    left, top = across.astype(np.int32), down.astype(np.int32)
    across -= left
    down -= top
    stride, flat = picture.shape[1], picture.ravel()
    at = top * stride + left
    upper = flat[at] * (1 - across) + flat[at + 1] * across
    at += stride
    lower = flat[at] * (1 - across) + flat[at + 1] * across
    shown = upper * (1 - down) + lower * down
    return np.asarray(np.rint(_smoothed(_smoothed(shown).T).T), np.uint8)


def _smoothed(shown: Singles) -> Singles:
    """Down its columns."""
    padded = np.pad(shown, ((3, 3), (0, 0)), mode="reflect")
    out = np.zeros_like(shown)
    for step, weight in enumerate(_KERNEL):
        out += weight * padded[step : step + len(shown)]
    return out


def _lay_each(
    flat: Any,
    stride: Any,
    found: Any,
    ends: Any,
    kernel: Any,
    shown: Any,
    row: Any,
    wide: Any,
    laid: Any,
) -> None:
    """`flat`: the picture, of rows of `stride`; `ends` (2,): the last places across and down;
    `shown` (height, width), `row` (width,) and `wide` (width + 6,): room. Indices are unsigned:
    Numba looks at each that might be negative."""
    one, nothing = np.float32(1), np.float32(0)
    height, width = shown.shape
    for y in range(height):
        for x in range(width):
            across = found[0, 0] * np.float32(x) + found[0, 1] * np.float32(y) + found[0, 2]
            down = found[1, 0] * np.float32(x) + found[1, 1] * np.float32(y) + found[1, 2]
            across, down = min(max(across, nothing), ends[0]), min(max(down, nothing), ends[1])
            left, top = np.int32(across), np.int32(down)
            across -= np.float32(left)
            down -= np.float32(top)
            at = np.uint64(top * stride + left)
            upper = flat[at] * (one - across) + flat[at + np.uint64(1)] * across
            at += np.uint64(stride)
            lower = flat[at] * (one - across) + flat[at + np.uint64(1)] * across
            shown[y, x] = upper * (one - down) + lower * down
    last = height - 1
    for y in range(height):
        for x in range(width):
            wide[x + 3] = nothing
        for k in range(7):
            of = abs(y + k - 3)
            of, weight = last - abs(last - of), kernel[k]
            for x in range(width):
                wide[x + 3] += weight * shown[of, x]
        for k in range(3):
            wide[k], wide[width + 5 - k] = wide[6 - k], wide[width - 1 + k]
        for x in range(width):
            row[x] = nothing
        for k in range(7):
            weight = kernel[k]
            for x in range(width):
                row[x] += weight * wide[x + k]
        for x in range(width):
            laid[y, x] = np.uint8(np.rint(row[x]))


def _turns(angles: Floats) -> tuple[Singles, Singles]:
    """(n,) cosine and sine of degrees."""
    turns = np.radians(angles)
    return np.cos(turns).astype(np.float32), np.sin(turns).astype(np.float32)


def nearest_by_table(
    laid: NDArray[np.uint8], spots: Ints, angles: Floats, codes: Codes
) -> tuple[Ints, Ints]:
    """(n,) the fewest bits in which the picture around the (n, 2) `spots` differs from codes, or
    `FAR`, and (n, 2) how many pixels from each that is, across and down: where several are equal
    the first of `_STEPS`."""
    width, pixels = laid.shape[1], laid.ravel()
    cos, sin = (turn[:, None] for turn in _turns(angles))
    right = np.rint(ACROSS * cos - DOWN * sin).astype(np.int64)
    lower = np.rint(ACROSS * sin + DOWN * cos).astype(np.int64)
    steps, at = lower * width + right, spots[:, 1] * width + spots[:, 0]
    best, where = np.full(len(at), FAR, dtype=np.int64), np.zeros((len(at), 2), dtype=np.int64)
    for across, down in _STEPS.tolist():
        shown = pixels[(at + down * width + across)[:, None] + steps]
        mine = np.packbits(shown[:, 0::2] < shown[:, 1::2], axis=1, bitorder="little")
        bits = np.bitwise_count(mine ^ codes).sum(axis=1)
        where[bits < best] = across, down
        best = np.minimum(best, bits)
    return best, where


def _search(
    pixels: Any,
    at: Any,
    turns: Any,
    width: Any,
    around: Any,
    codes: Any,
    pattern: Any,
    ones: Any,
    steps: Any,
    best: Any,
    where: Any,
) -> None:
    for i in range(len(at)):
        cos, sin = turns[0, i], turns[1, i]
        for k in range(len(steps)):
            x, y = pattern[0, k], pattern[1, k]
            steps[k] = int(np.rint(x * sin + y * cos)) * width + int(np.rint(x * cos - y * sin))
        fewest = best[i]
        for step in range(len(around)):
            spot, bits = at[i] + around[step, 1] * width + around[step, 0], 0
            for byte in range(32):
                mine = np.uint8(0)
                for bit in range(8):
                    k = 16 * byte + 2 * bit
                    if pixels[np.uint64(spot + steps[k])] < pixels[np.uint64(spot + steps[k + 1])]:
                        mine |= np.uint8(1 << bit)
                bits += ones[mine ^ codes[i, byte]]
                if bits >= fewest:
                    break
            if bits < fewest:
                fewest, where[i, 0], where[i, 1] = bits, around[step, 0], around[step, 1]
        best[i] = fewest


COMPILED = find_spec("numba") is not None
if COMPILED:
    from hashdb.machine import compiled

    _compiled_search, _compiled_lay = compiled(_search), compiled(_lay_each)


def nearest_by_loops(
    laid: NDArray[np.uint8], spots: Ints, angles: Floats, codes: Codes
) -> tuple[Ints, Ints]:
    """The same."""
    width, at = laid.shape[1], spots[:, 1] * laid.shape[1] + spots[:, 0]
    best, where = np.full(len(at), FAR, dtype=np.int64), np.zeros((len(at), 2), dtype=np.int64)
    turns, steps = np.stack(_turns(angles)), np.empty(len(ACROSS), dtype=np.int64)
    _compiled_search(
        laid.ravel(), at, turns, width, _STEPS, codes, _PATTERN, _ONES, steps, best, where
    )
    return best, where


def lay_by_loops(picture: Singles, found: Singles, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The same as `lay_by_table`."""
    width, height = size
    ends = np.array([picture.shape[1] - 1.001, picture.shape[0] - 1.001], np.float32)
    shown, room = np.empty((height, width), np.float32), np.empty(2 * width + 6, np.float32)
    laid = np.empty((height, width), np.uint8)
    flat, stride = picture.ravel(), picture.shape[1]
    _compiled_lay(flat, stride, found, ends, _KERNEL, shown, room[:width], room[width:], laid)
    return laid


_nearest = nearest_by_loops if COMPILED else nearest_by_table
_lay = lay_by_loops if COMPILED else lay_by_table
_PATTERN = np.stack([ACROSS, DOWN])
_ONES = np.bitwise_count(np.arange(256, dtype=np.uint8)).astype(np.int64)


def warm() -> None:
    """Compile now, not with the first image."""
    codes, laid = np.zeros((1, 32), np.uint8), np.zeros((64, 64), np.uint8)
    _nearest(laid, np.array([[32, 32]]), np.zeros(1), codes)
    _lay(laid.astype(np.float32), np.eye(2, 3, dtype=np.float32), (64, 64))
