"""PDQ as the reference code computes it: float32, one addition after the other, in its order.

Slow, and bit for bit what `pdqhash` gives, ties and flat pictures included: it shows that where
the matrix products differ, the order of additions is all that differs. Written from
ThreatExchange's `pdq/cpp/downscaling/downscaling.cpp` and `hashing/pdqhashing.cpp`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def box(lines: Array, width: int) -> Array:
    """The running mean along the first axis, kept as a running sum: added to, subtracted from."""
    size = len(lines)
    ahead = (width + 2) // 2
    result = np.empty_like(lines)
    total = np.zeros_like(lines[0])
    count, left, right, at = 0, 0, 0, 0
    for _ in range(ahead - 1):
        total = total + lines[right]
        count, right = count + 1, right + 1
    for _ in range(width - ahead + 1):
        total = total + lines[right]
        count, right = count + 1, right + 1
        result[at] = total / np.float32(count)
        at += 1
    for _ in range(size - width):
        total = total + lines[right]
        total = total - lines[left]
        left, right = left + 1, right + 1
        result[at] = total / np.float32(count)
        at += 1
    for _ in range(ahead - 1):
        total = total - lines[left]
        count, left = count - 1, left + 1
        result[at] = total / np.float32(count)
        at += 1
    return result


def square(luma: NDArray[np.uint8] | Array) -> Array:
    """(64, 64) samples after two passes of the box along rows, then columns."""
    picture = luma.astype(np.float32)
    height, width = picture.shape
    for _ in range(2):
        picture = np.ascontiguousarray(box(np.ascontiguousarray(picture.T), -(-width // 128)).T)
        picture = box(picture, -(-height // 128))
    rows = ((np.arange(64) + 0.5) * height / 64).astype(int)
    columns = ((np.arange(64) + 0.5) * width / 64).astype(int)
    return np.asarray(picture[rows][:, columns], dtype=np.float32)


def frequencies(samples: Array) -> Array:
    """(16, 16): both products of the cosine transform, summed in order."""
    order, sample = np.arange(1, 17)[:, None], 2 * np.arange(64)[None, :] + 1
    scale = np.float64(np.float32(np.sqrt(2.0 / 64)))
    exact = scale * np.cos((np.pi / 2.0 / 64) * order * sample)
    cosines = exact.astype(np.float32)
    half = np.zeros((16, 64), dtype=np.float32)
    for k in range(64):
        half = half + cosines[:, k, None] * samples[k]
    whole = np.zeros((16, 16), dtype=np.float32)
    for k in range(64):
        whole = whole + half[:, k, None] * cosines[None, :, k]
    return whole


def placings(upright: Array) -> NDArray[np.float32]:
    """(8, 16, 16): the frequencies of the placings, in the order of `compute_dihedral`."""
    odd = np.where(np.arange(16) % 2 == 0, np.float32(-1), np.float32(1))
    rows, columns = upright * odd[:, None], upright * odd[None, :]
    both = upright * odd[:, None] * odd[None, :]
    return np.stack([upright, columns.T, both, rows.T, rows, columns, upright.T, both.T])


def medians(placed: NDArray[np.float32]) -> NDArray[np.float32]:
    """(8,): the 128th smallest of each placing's 256 frequencies."""
    return np.sort(placed.reshape(8, 256), axis=1)[:, 127]


def codes(placed: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(8, 32)."""
    bits = placed.reshape(8, 256) > medians(placed)[:, None]
    return np.packbits(bits[:, ::-1], axis=1)
