"""The order of bits in which PDQ codes of one picture, placed in eight ways, share whole words.

A PDQ code is 16 x 16 bits. Mirroring a picture turns every second row, or column, over; so of the
bits whose row and column are each even or odd, 64 of a kind, all are turned over or none. With such
bits side by side, the upright, mirrored and inverted codes of a picture have only two values in
each word, and the transposed ones two more: what is looked up word by word is looked up for half of
the placings at once. Distances do not change with the order of bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes

_BITS = 256
_STEPS = (
    (1, 0x3333333333333333),
    (2, 0x0F0F0F0F0F0F0F0F),
    (4, 0x00FF00FF00FF00FF),
    (8, 0x0000FFFF0000FFFF),
    (16, 0x00000000FFFFFFFF),
)
_EVEN = np.uint64(0x5555555555555555)
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ROWS = [*range(0, 16, 2), *range(1, 16, 2)]

_Words = NDArray[np.uint64]


def sorted_bits(codes: Codes) -> Codes:
    """(n, bits/8) codes in that order; those of other lengths than PDQ's as they are. A copy."""
    codes = np.ascontiguousarray(codes)
    if codes.shape[1] != _BITS // 8:
        return codes.copy()
    rows: _Words = np.ascontiguousarray(codes.view(np.uint16)[:, _ROWS]).view(np.uint64)
    packed = _packed(np.stack([rows, rows >> np.uint64(1)], axis=2))  # even columns, odd ones
    made = packed[:, 0::2] | (packed[:, 1::2] << _HALF)
    return made.reshape(len(codes), 4).view(np.uint8)


def natural_bits(codes: Codes) -> Codes:
    """The reverse of `sorted_bits`."""
    codes = np.ascontiguousarray(codes)
    if codes.shape[1] != _BITS // 8:
        return codes.copy()
    words: _Words = codes.view(np.uint64)
    even, odd = words[:, 0::2], words[:, 1::2]
    rows = np.empty((len(codes), 4), dtype=np.uint64)
    rows[:, 0::2] = _spread(even & _LOW) | (_spread(odd & _LOW) << np.uint64(1))
    rows[:, 1::2] = _spread(even >> _HALF) | (_spread(odd >> _HALF) << np.uint64(1))
    made = np.empty((len(codes), 16), dtype=np.uint16)
    made[:, _ROWS] = rows.view(np.uint16)
    return made.view(np.uint8)


def _packed(words: _Words) -> _Words:
    """The 32 even bits of each word, side by side at its low end."""
    x = words & _EVEN
    for shift, mask in _STEPS:
        x |= x >> np.uint64(shift)
        x &= np.uint64(mask)
    return x


def _spread(words: _Words) -> _Words:
    """The 32 low bits of each word at its even places."""
    x = words
    masks = [mask for _, mask in _STEPS]
    for (shift, _), mask in zip(reversed(_STEPS), [*reversed(masks[:-1]), int(_EVEN)], strict=True):
        x = (x | (x << np.uint64(shift))) & np.uint64(mask)
    return x
