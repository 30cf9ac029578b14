"""The compiled scan of `hashdb.index.hamming`: each query with each code. Needs numba (the extra
`fast`). Arrays are as in `hashdb.index.hamming_kernels`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.index.hamming_kernels import Found, distance
from hashdb.index.hamming_tables import Asked, Stored, has
from hashdb.machine import compiled, inlined, popcount

_BLOCK = 512  # codes scanned at once: 16 KB of 256-bit codes stay in the L1 cache
_GROUP = 32  # codes of a block that are passed over together


def planes() -> NDArray[np.uint64]:
    """What `scan` writes on: the first words of a block's codes side by side, then the second."""
    return np.zeros((2, _BLOCK), dtype=np.uint64)


@inlined
def _least(planes: Any, start: Any, first: Any, second: Any) -> Any:
    """The fewest bits by which the planes of the `_GROUP` rows from `start` on differ from a
    query's. A loop that the compiler can do in vectors."""
    least = np.uint64(128)
    for i in range(np.uint64(start), np.uint64(start + _GROUP)):
        apart = np.uint64(popcount(planes[np.uint64(0), i] ^ first))
        apart += np.uint64(popcount(planes[np.uint64(1), i] ^ second))
        least = min(least, apart)
    return np.int64(least)


@inlined
def _scan_rows(
    stored: Any, start: Any, stop: Any, asked: Any, query: Any, words: Any, radius: Any,
    found: Any, count: Any,
) -> Any:  # fmt: skip
    """Compare a query with the rows from `start` to `stop`; the hits there are then, as above."""
    hits = count
    for row in range(start, stop):
        apart = distance(stored.codes, row * words, asked.codes, query * words, words)
        if apart <= radius and not has(stored.skip, row):
            if hits < len(found.rows):
                found.queries[hits] = query
                found.rows[hits] = row
                found.distances[hits] = apart
            hits += 1
    return hits


@compiled
def scan(
    stored: Stored, start: int, asked: Asked, words: int, radius: int, planes: NDArray[np.uint64],
    found: Found,
) -> tuple[int, int]:  # fmt: skip
    """Hits of all queries among the codes from row `start` on, into `found`: the row that comes
    next, and how many hits there are before it. It is not the last row where the hits of a block
    had no room; where it is `start`, there are none. Most codes are too far by their first two
    words, which are laid out in the `planes` (see `planes()`) for that."""
    n, count = len(stored.codes) // words, 0
    for first in range(start, n, _BLOCK):
        before, last = count, min(first + _BLOCK, n)
        for row in range(first, last):
            planes[0, row - first] = stored.codes[row * words]
            planes[1, row - first] = stored.codes[row * words + 1] if words > 1 else np.uint64(0)
        for query in range(len(asked.codes) // words):
            one = asked.codes[query * words]
            two = asked.codes[query * words + 1] if words > 1 else np.uint64(0)
            for group in range(first, last, _GROUP):
                if _least(planes, group - first, one, two) <= radius:
                    end = min(group + _GROUP, last)
                    count = _scan_rows(
                        stored, group, end, asked, query, words, radius, found, count
                    )
        if count > len(found.rows):
            return first, before
    return n, count
