"""`hashdb.index.filing.Kernels` as machine code, by Numba (the extra `fast`).

Compiled, or read from Numba's cache, when the kernels are made, never during a search. They run
without the interpreter's lock. What is set in other modules is given as an argument: the cache
knows of changes to this file only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

from hashdb.index.filing import MOST_IN_BUCKET, PART_BITS, RADIUS, Filed, Rows, Words
from hashdb.machine import popcount
from hashdb.model import Ints

_BLOCK = 16  # queries whose rows are gathered before their codes are looked at
_ROOM = 1 << 15  # pairs, at first

_WORDS = types.Array(types.uint64, 2, "C", readonly=True)
_ROWS = types.Array(types.uint32, 2, "C", readonly=True)


def _bits(words: Any, row: Any, first: Any, length: Any) -> Any:
    """`length` bits of a row, from bit `first` on."""
    word, shift = first >> 6, first & 63
    key = words[row, word] >> np.uint64(shift)
    if shift + length > 64:
        key |= words[row, word + 1] << np.uint64(64 - shift)
    return np.int64(key & np.uint64((1 << length) - 1))


_key: Any = numba.njit(_bits, inline="always")


def _sort_group(pairs: Any, begin: Any, ends: Any, rows: Any) -> None:
    """Counting sort of one group's pairs, whose rows go to `rows` from `begin` on; `ends` become
    the places after each key's last row."""
    mask = np.uint64(len(ends) - 1)
    ends[:] = 0
    for pair in pairs:
        ends[pair >> np.uint64(32) & mask] += np.uint32(1)
    total = np.uint32(begin)
    for key in range(len(ends)):
        total, ends[key] = total + ends[key], total
    for pair in pairs:
        key = pair >> np.uint64(32) & mask
        rows[ends[key]] = np.uint32(pair & np.uint64(0xFFFFFFFF))
        ends[key] += np.uint32(1)


_count: Any = numba.njit(_sort_group)


def _file(words: Any, part_bits: int, length: int, starts: Any, rows: Any) -> None:
    """Part by part: rows are first put into groups by the high half of their keys, so that each
    group can then be sorted by counting within the processor's cache."""
    low = length // 2
    keys = np.empty(len(words), np.uint32)
    pairs = np.empty(len(words), np.uint64)  # key, and row in the low 32 bits
    ends = np.empty(1 << (length - low), np.int64)
    for part in range(len(starts)):
        first = part * part_bits
        ends[:] = 0
        for row in range(len(words)):
            keys[row] = _key(words, row, first, length)
            ends[keys[row] >> low] += 1
        total = 0
        for group in range(len(ends)):
            total, ends[group] = total + ends[group], total
        for row in range(len(words)):
            group = keys[row] >> low
            pairs[ends[group]] = np.uint64(keys[row]) << np.uint64(32) | np.uint64(row)
            ends[group] += 1
        starts[part, 0] = 0
        begin = 0
        for group in range(len(ends)):
            mine = starts[part, (group << low) + 1 : (group + 1 << low) + 1]
            _count(pairs[begin : ends[group]], begin, mine, rows[part])
            begin = ends[group]


def _gather_rows(start: Any, equal: Any, rows: Any, query: Any, most: Any, out: Any) -> Any:
    """The rows that one query is compared with; how many."""
    half = most // 2
    end = 0
    for part in range(len(start)):
        first, count = start[part, query], equal[part, query]
        for i in range(min(count, most)):
            place = i
            if count > most and i >= half:
                place = half + (i - half) * (count - half) // half
            out[end] = rows[part, first + place]
            end += 1
    return end


_gather: Any = numba.njit(_gather_rows)


def _near(
    queries: Any, start: Any, equal: Any, words: Any, rows: Any, most: int, radius: int, found: Any
) -> int:
    """Write (query, row, distance) into `found` (room, 3) as far as there is room; how many there
    are. Rows are gathered for some queries before their codes are read, so that the processor has
    many reads from memory under way at once. Rows that are not there are not read."""
    gathered = np.empty((_BLOCK, len(start) * most), np.uint32)
    ends = np.empty(_BLOCK, np.int64)
    slots = 1
    while slots < 2 * len(start) * most:
        slots *= 2
    seen_by, seen = np.full(slots, -1), np.empty(slots, np.int64)  # a table of the rows found
    count = 0
    for first in range(0, len(queries), _BLOCK):
        last = min(first + _BLOCK, len(queries))
        for query in range(first, last):
            mine = gathered[query - first]
            ends[query - first] = _gather(start, equal, rows, query, most, mine)
        for query in range(first, last):
            a, b = queries[query, 0], queries[query, 1]
            c, d = queries[query, 2], queries[query, 3]
            for i in range(ends[query - first]):
                row: Any = min(np.int64(gathered[query - first, i]), len(words) - 1)
                distance = popcount(words[row, 0] ^ a) + popcount(words[row, 1] ^ b)
                distance += popcount(words[row, 2] ^ c) + popcount(words[row, 3] ^ d)
                if distance > radius:
                    continue
                slot = row & slots - 1
                while seen_by[slot] == query and seen[slot] != row:
                    slot = slot + 1 & slots - 1
                if seen_by[slot] == query:
                    continue
                seen_by[slot], seen[slot] = query, row
                if count < len(found):
                    found[count, 0], found[count, 1], found[count, 2] = query, row, distance
                count += 1
    return count


def _compiled(function: Callable[..., Any], signature: Any) -> Any:
    """With Numba's cache on disk where it may write one, else without."""
    try:
        return numba.njit([signature], nogil=True, cache=True)(function)
    except RuntimeError:  # "no locator available": neither beside the file nor in the home folder
        return numba.njit([signature], nogil=True)(function)


class CompiledKernels:
    """A `Kernels`. Making one compiles: seconds at the first time, a moment from the cache."""

    def __init__(self) -> None:
        whole, table = types.int64, types.uint32[:, ::1]
        edges = types.Array(whole, 2, "C", readonly=True)
        found = types.int64[:, ::1]
        self._file = _compiled(_file, types.void(_WORDS, whole, whole, table, table))
        self._near = _compiled(
            _near, whole(_WORDS, edges, edges, _WORDS, _ROWS, whole, whole, found)
        )

    def file(self, words: Words, length: int, starts: Rows, rows: Rows) -> None:
        self._file(words, PART_BITS, length, starts, rows)

    def near(self, queries: Words, filed: Filed) -> tuple[Ints, Ints, Ints]:
        buckets = filed.buckets(queries)
        bounds = (MOST_IN_BUCKET, RADIUS)
        room = _ROOM
        while True:
            found = np.empty((room, 3), np.int64)
            count = self._near(queries, *buckets, filed.words, filed.rows, *bounds, found)
            if count <= room:
                return found[:count, 0], found[:count, 1], found[:count, 2]
            room = count
