"""Of two sets of binary codes the nearest to each other, which geometric verification asks most,
and those that are alike at about the same place.

By Numba (the extra `fast`) where it is there, else by numpy, with the same answers.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Ints

Words = NDArray[np.uint64]
Places = NDArray[np.float32]


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
    query: Any, reference: Any, rows: Any, bits: Any, after: Any, back: Any, nearest: Any, far: Any
) -> None:
    """`reference` (4, m); `back`, `nearest` and `far` (m,): of each reference code its nearest
    query code, how far that is (beyond all at first), and room. Short loops of one kind each, of
    which the compiler makes vector instructions."""
    first, second, third, fourth = reference[0], reference[1], reference[2], reference[3]
    beyond = np.int32(1 << 30)
    for i in range(len(query)):
        a, b, c, d = query[i, 0], query[i, 1], query[i, 2], query[i, 3]
        for j in range(len(far)):
            apart = _ones(first[j] ^ a) + _ones(second[j] ^ b)
            far[j] = np.int32(apart + _ones(third[j] ^ c) + _ones(fourth[j] ^ d))
        mine = np.int32(i)
        for j in range(len(far)):
            back[j] = mine if far[j] < nearest[j] else back[j]
            nearest[j] = min(nearest[j], far[j])
        best = beyond
        for j in range(len(far)):
            best = min(best, far[j])
        at = 0
        while far[at] != best:
            at += 1
        far[at] = best + np.int32(256)  # of a single code, what comes after it
        next_best = beyond
        for j in range(len(far)):
            next_best = min(next_best, far[j])
        rows[i], bits[i], after[i] = at, best, next_best


def _beside(
    one: Any, at: Any, other: Any, places: Any, pixels: Any, bits: Any, first: Any, found: Any
) -> None:
    """`places` rise across; `first` (n,): the first that is not too far to the left."""
    for i in range(len(one)):
        right = at[i, 0] + pixels
        for j in range(first[i], len(other)):
            if places[j, 0] > right:
                break
            if abs(at[i, 1] - places[j, 1]) > pixels:
                continue
            far = _ones(one[i, 0] ^ other[j, 0]) + _ones(one[i, 1] ^ other[j, 1])
            far += _ones(one[i, 2] ^ other[j, 2]) + _ones(one[i, 3] ^ other[j, 3])
            if far <= bits:
                found[i] = True
                break


COMPILED = find_spec("numba") is not None
if COMPILED:
    from hashdb.machine import compiled
    from hashdb.machine import popcount as _ones

    _compiled = compiled(_each)
    _compiled_beside = compiled(_beside)


def by_loops(query: Words, reference: Words) -> Nearest:
    """By Numba. Compiles, or reads its cache, at the first call."""
    rows, bits, after = (np.empty(len(query), np.int64) for _ in range(3))
    back, nearest, far = (np.full(len(reference), 1 << 30, np.int32) for _ in range(3))
    by_word = np.ascontiguousarray(reference.T)
    _compiled(query, by_word, rows, bits, after, back, nearest, far)
    return Nearest(rows, bits, after, back.astype(np.int64))


def nearest(query: Codes, reference: Codes) -> Nearest:
    """Of (n, 32) and (m, 32) codes, both at least one."""
    find = by_loops if COMPILED else by_table
    return find(words(query), words(reference))


def beside(
    one: Codes, at: Places, other: Codes, places: Places, pixels: float, bits: int
) -> NDArray[np.bool_]:
    """(n,) which of (n, 32) codes that lie `at` (n, 2) have one among the (m, 32) others, which
    lie at `places` (m, 2), within so many bits, and within so many pixels across and down."""
    if not len(one) or not len(other):
        return np.zeros(len(one), np.bool_)
    order = np.argsort(places[:, 0], kind="stable")
    at, places = (np.ascontiguousarray(p, np.float32) for p in (at, places[order]))
    first = np.searchsorted(places[:, 0], at[:, 0] - np.float32(pixels), side="left")
    find = beside_by_loops if COMPILED else beside_by_table
    return find(words(one), at, words(other[order]), places, np.float32(pixels), bits, first)


def beside_by_table(
    one: Words, at: Places, other: Words, places: Places, pixels: np.float32, bits: int, first: Ints
) -> NDArray[np.bool_]:
    """By numpy. `places` rise across; `first` (n,): the first that is not too far to the left."""
    count = np.searchsorted(places[:, 0], at[:, 0] + pixels, side="right") - first
    rows = np.repeat(np.arange(len(at)), count)
    columns = np.arange(len(rows)) + np.repeat(first - (np.cumsum(count) - count), count)
    near = np.abs(at[rows, 1] - places[columns, 1]) <= pixels
    rows, columns = rows[near], columns[near]
    far = np.bitwise_count(one[rows] ^ other[columns]).sum(axis=1, dtype=np.int64)
    found = np.zeros(len(one), np.bool_)
    found[rows[far <= bits]] = True
    return found


def beside_by_loops(
    one: Words, at: Places, other: Words, places: Places, pixels: np.float32, bits: int, first: Ints
) -> NDArray[np.bool_]:
    """The same by Numba. Compiles, or reads its cache, at the first call."""
    found = np.zeros(len(one), np.bool_)
    _compiled_beside(one, at, other, places, pixels, bits, first, found)
    return found


def warm() -> None:
    """Compile now, not in the first search."""
    one, place = np.zeros((1, 32), np.uint8), np.zeros((1, 2), np.float32)
    nearest(one, one)
    beside(one, place, one, place, 1.0, 0)
