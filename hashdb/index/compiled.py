"""`hashdb.index.filing.Kernels` as machine code, by Numba (the extra `fast`).

Compiled, or read from Numba's cache, when the kernels are made, never during a search. They run
without the interpreter's lock. What is set in other modules is given as an argument: the cache
knows of changes to this file only.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types

from hashdb.index import voting
from hashdb.index.compiled_votes import CompiledVotes
from hashdb.index.filing import (
    MOST_IN_BUCKET,
    PART_BITS,
    PARTS,
    RADIUS,
    STEP,
    UNITS,
    Filed,
    Laid,
    Owners,
    Rows,
    Words,
)
from hashdb.index.voting import Pairs
from hashdb.machine import compiled_for, popcount, prefetch
from hashdb.model import Floats, Ints

_BLOCK = 16  # queries whose rows are asked for before they are read
_ROOM = 1 << 15  # pairs, at first
with np.errstate(divide="ignore"):
    _SIZES = np.log2(np.arange(1 << 16, dtype=np.float32) / UNITS[0])
_WEIGHTS = voting.weights_of(np.arange(RADIUS + 1))

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


def _unsigned_bits(words: Any, row: Any, first: Any, length: Any) -> Any:
    """The same of unsigned numbers, as an unsigned one."""
    one, many = np.uint64(1), np.uint64(64)
    word, shift = first // many, first % many
    key = words[row, word] >> shift
    if shift + length > many:
        key |= words[row, word + one] << (many - shift)
    return key & (one << length) - one


_unsigned_key: Any = numba.njit(_unsigned_bits, inline="always")


def _common(
    queries: Any, starts: Any, part_bits: Any, length: Any, most: Any, filed: Any, counts: Any
) -> None:
    """Into `counts` (q,) how many rows each query would be compared with."""
    parts, edges, one = np.uint64(len(starts)), np.uint64(starts.shape[1]), np.uint64(1)
    for part in range(parts):
        for query in range(np.uint64(len(queries))):
            prefetch(starts, part * edges + _unsigned_key(queries, query, part * part_bits, length))
        for query in range(np.uint64(len(queries))):
            key = _unsigned_key(queries, query, part * part_bits, length)
            begin = min(np.uint64(starts[part, key]), filed)
            end = min(np.uint64(starts[part, key + one]), filed)
            if end > begin:
                counts[query] += min(end - begin, most)


def _near(
    queries: Any, words: Any, starts: Any, table: Any, part_bits: Any, length: Any, most: Any,
    radius: Any, keys: Any, firsts: Any, counts: Any, gathered: Any, seen: Any, found: Any,
) -> Any:  # fmt: skip
    """Write (query, row, distance) into `found` (3, room) as far as there is room; how many there
    are. `keys`, `firsts`, `counts`, `gathered` and `seen` are room.

    Some queries at a time: where their buckets begin is asked for before it is read, so are the
    buckets, and then the codes, so that many reads from memory are under way at once. Indices are
    unsigned, for Numba looks at each that might be negative. Rows that are not there are not read.
    """
    parts, filed, edges = np.uint64(len(starts)), np.uint64(len(words)), np.uint64(starts.shape[1])
    one, mask = np.uint64(1), np.uint64(seen.shape[1] - 1)
    half, count, room = most // np.uint64(2), np.uint64(0), np.uint64(found.shape[1])
    for block in range(0, len(queries), _BLOCK):
        first, last = np.uint64(block), np.uint64(min(block + _BLOCK, len(queries)))
        for query in range(first, last):
            for part in range(parts):
                keys[query - first, part] = _unsigned_key(queries, query, part * part_bits, length)
                prefetch(starts, part * edges + keys[query - first, part])
        for query in range(first, last):
            for part in range(parts):
                key = keys[query - first, part]
                begin = min(np.uint64(starts[part, key]), filed)
                end = min(np.uint64(starts[part, key + one]), filed)
                firsts[query - first, part], counts[query - first, part] = begin, 0
                if end > begin:
                    counts[query - first, part] = end - begin
                    prefetch(table, part * filed + begin)
        for query in range(first, last):
            mine = query - first
            end = np.uint64(0)
            for part in range(parts):
                begin, size = firsts[mine, part], counts[mine, part]
                for i in range(min(size, most)):
                    place = i
                    if size > most and i >= half:
                        place = half + (i - half) * (size - half) // half
                    row = min(np.uint64(table[part, begin + place]), filed - one)
                    prefetch(words, row * np.uint64(4))
                    gathered[mine, end] = row
                    end += one
            keys[mine, 0] = end
        for query in range(first, last):
            mine = query - first
            a, b = queries[query, 0], queries[query, 1]
            c, d = queries[query, 2], queries[query, 3]
            for i in range(keys[mine, 0]):
                row = gathered[mine, i]
                distance = popcount(words[row, 0] ^ a) + popcount(words[row, 1] ^ b)
                distance += popcount(words[row, 2] ^ c) + popcount(words[row, 3] ^ d)
                if distance > radius:
                    continue
                slot = row & mask
                while seen[0, slot] == query and seen[1, slot] != row:
                    slot = slot + one & mask
                if seen[0, slot] == query:
                    continue
                seen[0, slot], seen[1, slot] = query, row
                if count < room:
                    found[0, count], found[1, count], found[2, count] = query, row, distance
                count += one
    return np.int64(count)


def _pairs(
    queries: Any, rows: Any, distances: Any, laid: Any, sizes: Any, weighing: Any, first: Any,
    incidents: Any, alive: Any, places: Any, near: Any, number: Any, step: Any, angles: Any,
    turns: Any, steps: Any, numbers: Any, weights: Any,
) -> Any:  # fmt: skip
    """Of each pair, but those of pictures that are gone, the query, the picture, its incident and
    the bin of turn and size into `numbers` (4, k), and what it weighs into `weights`; how many.
    `laid` (2, q): of each query the logarithm of its size, and its angle in bins. `sizes`: the
    logarithm of each stored size; `weighing`: of each distance. `step`: rows from one whose picture
    is known to the next; `angles`: stored units in a degree, bins in
    a degree; `turns` and `steps`: how many bins of turn and of size."""
    one, count, pictures = np.uint64(1), np.uint64(0), np.uint64(len(first))
    for pair in range(np.uint64(len(rows))):
        row, query = np.uint64(rows[pair]), np.uint64(queries[pair])
        picture = np.uint64(near[row // step])
        while picture + one < pictures and np.uint64(first[picture + one]) <= row:
            picture += one
        if not alive[picture]:
            continue
        angle = np.float32(places[row, 3]) / angles[0] * angles[1]
        turn = np.int64(np.floor(laid[1, query] - angle))
        octaves = laid[0, query] - sizes[places[row, 2]]
        size: Any = np.int64(np.floor(octaves * np.float32(1.5))) + steps // 2
        size = min(max(size, 0), steps - 1)
        numbers[0, count], numbers[1, count] = query, picture + np.uint64(number)
        numbers[2, count] = incidents[picture]
        numbers[3, count] = turn % turns * steps + size
        weights[count] = weighing[distances[pair]]
        count += one
    return np.int64(count)


def _bounds(filed: Filed) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Bits from part to part, bits of a key, and rows of a bucket."""
    return np.uint64(PART_BITS), np.uint64(filed.length), np.uint64(MOST_IN_BUCKET)


class CompiledKernels:
    """A `Kernels`. Making one compiles: seconds at the first time, a moment from the cache."""

    def __init__(self) -> None:
        whole, table = types.int64, types.uint32[:, ::1]
        room, found = types.uint64[:, ::1], types.int64[:, ::1]
        self._file = compiled_for(_file, types.void(_WORDS, whole, whole, table, table))
        self._common = compiled_for(
            _common,
            types.void(_WORDS, _ROWS, *[room.dtype] * 4, types.int64[::1]),
        )
        self._near = compiled_for(
            _near,
            whole(
                _WORDS, _WORDS, _ROWS, _ROWS, room.dtype, room.dtype, room.dtype, whole,
                room, room, room, room, room, found,
            ),
        )  # fmt: skip
        column, sums = types.int64[::1], types.float64[::1]
        ints = types.Array(types.int32, 1, "C", readonly=True)
        angles: Any = types.UniTuple(types.float32, 2)  # type: ignore[no-untyped-call]
        self._pairs = compiled_for(
            _pairs,
            whole(
                column, column, column, types.float32[:, ::1], types.float32[::1], sums, column,
                ints, types.boolean[::1], types.Array(types.uint16, 2, "C", readonly=True), ints,
                whole, room.dtype, angles, whole, whole, found, sums,
            ),
        )  # fmt: skip
        self._votes = CompiledVotes()

    def file(self, words: Words, length: int, starts: Rows, rows: Rows) -> None:
        self._file(words, PART_BITS, length, starts, rows)

    def common(self, queries: Words, filed: Filed) -> Ints:
        counts = np.zeros(len(queries), np.int64)
        self._common(queries, filed.starts, *_bounds(filed), np.uint64(len(filed.words)), counts)
        return counts

    def near(self, queries: Words, filed: Filed) -> tuple[Ints, Ints, Ints]:
        most = PARTS * MOST_IN_BUCKET
        room = [np.empty((_BLOCK, n), np.uint64) for n in (PARTS, PARTS, PARTS, most)]
        seen = np.empty((2, 1 << (2 * most).bit_length()), np.uint64)
        size = _ROOM
        while True:
            seen[0] = len(queries)  # by nobody
            found = np.empty((3, size), np.int64)
            count = self._near(
                queries, filed.words, filed.starts, filed.rows, *_bounds(filed), RADIUS,
                *room, seen, found,
            )  # fmt: skip
            if count <= size:
                return found[0, :count], found[1, :count], found[2, :count]
            size = count

    def pairs(self, queries: Words, laid: Laid, filed: Filed, owners: Owners) -> Pairs:
        asked, rows, distances = self.near(queries, filed)
        numbers, weights = np.empty((4, len(rows)), np.int64), np.empty(len(rows))
        turns = np.float32(voting.TURNS / 360)
        bins = (np.uint64(STEP), (UNITS[1], turns), voting.TURNS, voting.SIZES)
        count = self._pairs(
            asked, rows, distances, np.stack([np.log2(laid[:, 0]), laid[:, 1] * turns]),
            _SIZES, _WEIGHTS, owners.first, owners.incidents, owners.alive, owners.places,
            owners.near, owners.number, *bins, numbers, weights,
        )  # fmt: skip
        asked, pictures, incidents, bins = numbers[:, :count]
        return Pairs(asked, pictures, incidents, bins, weights[:count])

    def votes(self, pairs: Pairs, queries: int, incidents: int, most: int) -> tuple[Ints, Floats]:
        return self._votes(pairs, queries, incidents, most)
