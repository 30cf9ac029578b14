"""Of two sets of binary codes the nearest to each other, which geometric verification asks most.

By Numba (the extra `fast`) where it is there, else by numpy, with the same answers.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Ints

Words = NDArray[np.uint64]


class Nearest(NamedTuple):
    """Of each query code: `rows` (n,) the nearest reference code (of equally near ones the first),
    `bits` (n,) how far it is, `next_bits` (n,) how far the next one is (256 more than the nearest
    where there is none). `back` (m,): of each reference code the nearest query code."""

    rows: Ints
    bits: Ints
    next_bits: Ints
    back: Ints


def words(codes: Codes) -> Words:
    """(n, 32) uint8 as (n, 4) uint64."""
    return np.ascontiguousarray(codes).view(np.uint64).reshape(len(codes), 4)


def by_table(query: Words, reference: Words) -> Nearest:
    """By numpy: all distances at once."""
    table = np.zeros((len(query), len(reference)), dtype=np.int64)
    for word in range(4):
        table += np.bitwise_count(query[:, word, None] ^ reference[None, :, word])
    rows = table.argmin(axis=1)
    bits = table[np.arange(len(table)), rows]
    after = np.partition(table, 1, axis=1)[:, 1] if table.shape[1] > 1 else bits + 256
    return Nearest(rows, bits, after, table.argmin(axis=0))


def _each(
    query: Any, reference: Any, rows: Any, bits: Any, after: Any, back: Any, nearest: Any
) -> None:
    """`nearest` (m,): the bits of each reference code's nearest, beyond all at first."""
    for i in range(len(query)):
        a, b, c, d = query[i, 0], query[i, 1], query[i, 2], query[i, 3]
        best, second, at = 1 << 30, 1 << 30, 0
        for j in range(len(reference)):
            far = _ones(reference[j, 0] ^ a) + _ones(reference[j, 1] ^ b)
            far += _ones(reference[j, 2] ^ c) + _ones(reference[j, 3] ^ d)
            if far < best:
                second, best, at = best, far, j
            elif far < second:
                second = far
            if far < nearest[j]:
                nearest[j] = far
                back[j] = i
        rows[i], bits[i] = at, best
        after[i] = second if len(reference) > 1 else best + 256


COMPILED = find_spec("numba") is not None
if COMPILED:
    from hashdb.machine import compiled
    from hashdb.machine import popcount as _ones

    _compiled = compiled(_each)


def by_loops(query: Words, reference: Words) -> Nearest:
    """By Numba. Compiles, or reads its cache, at the first call."""
    rows, bits, after = (np.empty(len(query), np.int64) for _ in range(3))
    back = np.empty(len(reference), np.int64)
    _compiled(query, reference, rows, bits, after, back, np.full(len(reference), 1 << 30))
    return Nearest(rows, bits, after, back)


def nearest(query: Codes, reference: Codes) -> Nearest:
    """Of (n, 32) and (m, 32) codes, both at least one."""
    find = by_loops if COMPILED else by_table
    return find(words(query), words(reference))


def warm() -> None:
    """Compile now, not in the first search."""
    one = np.zeros((1, 32), np.uint8)
    nearest(one, one)
