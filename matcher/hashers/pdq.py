"""PDQ: 256 bits a frame, with its quality, as a few matrix products.

PDQ is published in "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm"
(Facebook, 2019); the reference code is ThreatExchange's `pdq/cpp`. Everything up to the median is
linear: two box passes along each axis and the picking of 64 x 64 samples are `R . luma . C`, the
transform after it is `D . square . D'`. `docs/decisions/0003-pdq-as-matrix-products.md` tells how
far that is bit-identical.

A code is 32 bytes: the bit of the highest frequency first, as PDQ's hex text is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Orientation
from matcher.ports import AnyLuma, FrameView

PIPELINE = "pdq-luma-1"
SQUARE = 64  # the reduced picture's side
KEPT = 16  # frequencies 1 to 16 along each axis
BITS = KEPT * KEPT
SMALLEST = 5  # the reference code's MIN_HASHABLE_DIM
LARGEST = 65_535  # no side of a real picture is longer; the matrices grow with it
ROWS, COLUMNS = 4, 8  # are made at a time: they need a strip of the picture only

Floats32 = NDArray[np.float32]
Floats64 = NDArray[np.float64]
Ints = NDArray[np.int64]


def luma_from_rgb(rgb: NDArray[np.uint8]) -> Floats32:
    """(H, W) float32 of (H, W, 3) uint8, weighted as PDQ does (ITU-R BT.601, full range)."""
    luma: Floats64 = rgb[:, :, 0] * 0.299 + rgb[:, :, 1] * 0.587 + rgb[:, :, 2] * 0.114
    return luma.astype(np.float32)


def _windows(at: Ints, size: int) -> tuple[Ints, Ints]:
    """The first and the past-the-last samples that the boxes around `at` average."""
    width = (size + 2 * SQUARE - 1) // (2 * SQUARE)
    ahead = (width + 2) // 2
    return np.maximum(0, at - (width - ahead)), np.minimum(size, at + ahead)


def _reducer(size: int) -> Floats64:
    """(64, size): two box passes over an axis of that many samples, and the picking of 64.

    One box of each row's at a time, in the order in which one loop a row would add them: so the
    sums are rounded as they always were.
    """
    picked = ((np.arange(SQUARE) + 0.5) * size / SQUARE).astype(np.int64)
    first, last = _windows(picked, size)
    boxes = last - first
    widest = (size + 2 * SQUARE - 1) // (2 * SQUARE)
    rows = np.zeros((SQUARE, size + widest))  # a box may reach beyond the end, with no weight there
    row, reach = np.arange(SQUARE)[:, None], np.arange(widest)
    for n in range(int(boxes.max())):
        left, right = _windows(np.minimum(first + n, last - 1), size)
        at = left[:, None] + reach
        inside = (at < right[:, None]) & (n < boxes)[:, None]
        rows[row, at] += inside / (boxes * (right - left))[:, None]
    return rows[:, :size]


def _bands(size: int, at_once: int) -> tuple[tuple[int, int, Floats64], ...]:
    """The reducer so many rows at a time: first and past-the-last sample used, and the weights."""
    bands = []
    for group in np.split(_reducer(size), SQUARE // at_once):
        used = np.flatnonzero(group.any(axis=0))
        first, last = int(used[0]), int(used[-1]) + 1
        bands.append((first, last, np.ascontiguousarray(group[:, first:last])))
    return tuple(bands)


@lru_cache(maxsize=16)
def _rows(height: int) -> tuple[tuple[slice, slice, Floats32], ...]:
    """Which rows are made of which rows of the picture, and the weights, (rows, rows there)."""
    return tuple(
        (slice(n * ROWS, (n + 1) * ROWS), slice(first, last), weights.astype(np.float32))
        for n, (first, last, weights) in enumerate(_bands(height, ROWS))
    )


@lru_cache(maxsize=16)
def _columns(width: int) -> tuple[tuple[slice, slice, Floats64], ...]:
    """The same of the other axis; weights (columns there, columns)."""
    return tuple(
        (slice(n * COLUMNS, (n + 1) * COLUMNS), slice(first, last), np.ascontiguousarray(weights.T))
        for n, (first, last, weights) in enumerate(_bands(width, COLUMNS))
    )


def _cosines() -> Floats64:
    """(16, 64): frequencies 1 to 16 of the DCT-II of 64 samples, rounded to float32 as PDQ's."""
    order = np.arange(1, KEPT + 1)[:, None]
    sample = 2 * np.arange(SQUARE)[None, :] + 1
    scale = np.float64(np.float32(np.sqrt(2.0 / SQUARE)))  # the reference code keeps it so
    cosines: Floats64 = scale * np.cos(np.pi / 2 / SQUARE * order * sample)
    return cosines.astype(np.float32).astype(np.float64)


COSINES = _cosines()


def reduce(luma: AnyLuma) -> Floats64:
    """(64, 64) of (H, W) uint8 or float32 luma, 0 to 255, both sides 5 to 65,535."""
    height, width = luma.shape
    rows = np.empty((SQUARE, width), dtype=np.float32)
    for made, of, weights in _rows(height):
        np.matmul(weights, luma[of].astype(np.float32), out=rows[made])
    square = np.empty((SQUARE, SQUARE))
    for made, of, into in _columns(width):
        square[:, made] = rows[:, of].astype(np.float64) @ into
    return square


def quality(square: Floats64) -> int:
    """PDQ's 0 to 100: the sum of the steps between neighbours, each in whole hundredths."""
    samples = square.astype(np.float32)
    total = 0
    for axis in (0, 1):
        steps = np.diff(samples, axis=axis) * np.float32(100) / np.float32(255)
        total += int(np.abs(np.trunc(steps)).sum(dtype=np.float64))
    return min(100, total // 90)


def transform(square: Floats64) -> Floats64:
    """(16, 16) frequencies of (64, 64) samples; row: vertical frequency."""
    return COSINES @ square @ COSINES.T


def _hashable(luma: AnyLuma) -> bool:
    height, width = luma.shape
    return bool(min(height, width) >= SMALLEST and max(height, width) <= LARGEST)


def look(luma: AnyLuma) -> FrameView:
    """A picture as the frame hashers want it; quality 0 where a side has under 5 pixels, or more
    than 65,535."""
    if not _hashable(luma):
        return FrameView(luma, np.zeros((SQUARE, SQUARE)), 0)
    square = reduce(luma)
    return FrameView(luma, square, quality(square))


# How each placing is made of the original's frequencies: mirroring an axis negates its odd
# frequencies (which stand at even places, as frequency 0 is not kept), turning transposes.
_MIRROR = np.where(np.arange(KEPT) % 2 == 0, -1.0, 1.0)
_UPRIGHT = np.ones((KEPT, KEPT))
_UPSIDE_DOWN = np.repeat(_MIRROR[:, None], KEPT, axis=1)
_MIRRORED = np.repeat(_MIRROR[None, :], KEPT, axis=0)
_BOTH = _UPSIDE_DOWN * _MIRRORED
_PLACINGS: dict[Orientation, tuple[NDArray[np.float64], bool]] = {
    Orientation.ORIGINAL: (_UPRIGHT, False),
    Orientation.ROTATE_90: (_MIRRORED, True),
    Orientation.ROTATE_180: (_BOTH, False),
    Orientation.ROTATE_270: (_UPSIDE_DOWN, True),
    Orientation.FLIP_VERTICAL: (_UPSIDE_DOWN, False),
    Orientation.FLIP_HORIZONTAL: (_MIRRORED, False),
    Orientation.FLIP_PLUS: (_UPRIGHT, True),
    Orientation.FLIP_MINUS: (_BOTH, True),
}
ORIENTATIONS = tuple(Orientation)
_SIGNS = np.stack([_PLACINGS[o][0] for o in ORIENTATIONS])
_TURNED = np.array([_PLACINGS[o][1] for o in ORIENTATIONS])
# The bits that each placing complements, in the order of a code's bits.
_COMPLEMENTED = np.packbits(
    np.where(_TURNED[:, None, None], _SIGNS.transpose(0, 2, 1), _SIGNS).reshape(-1, BITS)[:, ::-1]
    < 0,
    axis=1,
)


def _pack(frequencies: Floats64) -> Codes:
    """(n, 32) codes of (n, 16, 16) frequencies: a bit is set above the lower median."""
    flat = frequencies.astype(np.float32).reshape(len(frequencies), BITS)
    median = np.partition(flat, BITS // 2 - 1, axis=1)[:, BITS // 2 - 1, None]
    return np.packbits((flat > median)[:, ::-1], axis=1)


def codes(square: Floats64) -> Codes:
    """(8, 32) uint8 of (64, 64) samples: the code of every placing, in `Orientation`'s order."""
    placed = transform(square) * _SIGNS
    placed[_TURNED] = placed[_TURNED].transpose(0, 2, 1)
    return _pack(placed)


def hash(luma: AnyLuma) -> tuple[bytes, int]:
    """The 32 bytes and the quality of (H, W) luma."""
    view = look(luma)
    if not _hashable(luma):
        return bytes(BITS // 8), 0
    return _pack(transform(view.square)[None]).tobytes(), view.quality


def hash_dihedral(luma: AnyLuma) -> tuple[Codes, int]:
    """(8, 32) uint8 and the quality of (H, W) luma: the codes of the picture after each placing.

    In `Orientation`'s order, which is that of `pdqhash.compute_dihedral`; with `a` the picture:
    ORIGINAL a; ROTATE_90 np.rot90(a, 1), counter-clockwise; ROTATE_180 np.rot90(a, 2);
    ROTATE_270 np.rot90(a, 3); FLIP_VERTICAL np.flipud(a); FLIP_HORIZONTAL np.fliplr(a);
    FLIP_PLUS a.T; FLIP_MINUS np.rot90(a, 2).T. All are taken from the frequencies of `a`, as the
    reference code does; hashing the placed picture itself may differ by some bits, for the 64
    samples are not picked symmetrically.
    """
    view = look(luma)
    if not _hashable(luma):
        return np.zeros((len(ORIENTATIONS), BITS // 8), dtype=np.uint8), 0
    return codes(view.square), view.quality


def orientations(codes: Codes) -> Codes:
    """(n, 8, 32) of (n, 32) uint8: the codes of every placing, from the bits alone.

    For queries that bring hashes and no picture. Negating a frequency complements its bit only
    as far as the median lies at zero: exact for FLIP_PLUS, else off by 6 bits on average and by
    18 at most on real frames.
    """
    upright = np.asarray(codes, dtype=np.uint8)
    square = np.unpackbits(upright, axis=1).reshape(-1, KEPT, KEPT)
    turned = np.packbits(square.transpose(0, 2, 1).reshape(-1, BITS), axis=1)
    placed: Codes = np.where(_TURNED[:, None], turned[:, None], upright[:, None]) ^ _COMPLEMENTED
    return placed


# A code has 128 of its 256 bits set: those above the median. Frequencies that tie with the median
# (pictures of few values) leave it with fewer, and a placing made from bits alone (`orientations`)
# moves a few either way. The bounds leave 64 bits to each side, eight standard deviations of a
# random code: what lies outside was hashed of next to nothing, or made up.
FEWEST_BITS, MOST_BITS = 64, 192


def degenerate(codes: Codes) -> NDArray[np.bool_]:
    """(n,) of (n, 32): codes of flat pictures, or made up, that would match what they should not.

    For codes that come without a picture: a list that was sent, an import.
    """
    count: NDArray[np.int64] = np.bitwise_count(np.asarray(codes, dtype=np.uint8)).sum(
        axis=1, dtype=np.int64
    )
    return np.asarray((count < FEWEST_BITS) | (count > MOST_BITS))


@dataclass(frozen=True, slots=True)
class Hasher:
    """The `matcher.ports.Hasher` of PDQ: all eight placings of a frame."""

    signal_type: str = "pdq"
    pipeline: str = PIPELINE
    orientations: tuple[Orientation, ...] = ORIENTATIONS

    def hash(self, view: FrameView) -> Codes:
        return codes(view.square)
