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

from hashdb.index import voting
from hashdb.index.filing import MOST_IN_BUCKET, PART_BITS, RADIUS, Filed, Rows, Words
from hashdb.index.voting import Pairs
from hashdb.machine import popcount
from hashdb.model import Floats, Ints

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


def _grouped(queries: Any, count: int) -> Any:
    """Where each query's pairs begin in an order by queries (count + 1,), and that order."""
    begin = np.zeros(count + 1, np.int64)
    for query in queries:
        begin[query + 1] += 1
    for query in range(count):
        begin[query + 1] += begin[query]
    order = np.empty(len(queries), np.int64)
    free = begin.copy()
    for pair in range(len(queries)):
        order[free[queries[pair]]] = pair
        free[queries[pair]] += 1
    return begin, order


_by_query: Any = numba.njit(_grouped)


def _slots_for(entries: Any) -> Any:
    slots = 1
    while slots < 2 * entries:
        slots *= 2
    return slots


_room_for: Any = numba.njit(_slots_for)


def _held(queries: Any, incidents: Any, weights: Any, count: int) -> Any:
    """Of each of `count` queries how many incidents hold it, each counted by its nearest pair."""
    begin, order = _by_query(queries, count)
    slots = _room_for((begin[1:] - begin[:-1]).max())
    owner, known = np.full(slots, -1), np.empty(slots, np.int64)
    most = np.empty(slots)
    held = np.zeros(count)
    for query in range(count):
        for place in range(begin[query], begin[query + 1]):
            pair = order[place]
            slot = incidents[pair] & slots - 1
            while owner[slot] == query and known[slot] != incidents[pair]:
                slot = slot + 1 & slots - 1
            if owner[slot] != query:
                owner[slot], known[slot], most[slot] = query, incidents[pair], 0.0
            if weights[pair] > most[slot]:
                held[query] += weights[pair] - most[slot]
                most[slot] = weights[pair]
    return held


def _shared(queries: Any, pictures: Any, said: Any, count: int, shares: Any) -> Any:
    """Each pair's number of its picture, and its share of its query's vote, into `said` (k,) which
    holds what the pair says; then the pictures by their numbers, and what is said for each."""
    begin, order = _by_query(queries, count)
    slots = _room_for((begin[1:] - begin[:-1]).max())
    owner, known = np.full(slots, -1), np.empty(slots, np.int64)
    times = np.empty(slots, np.int64)
    rooms = _room_for(len(queries))
    numbers, where = np.full(rooms, -1), np.empty(len(queries), np.int64)
    listed, most = np.empty(len(queries), np.int64), np.zeros(len(queries))
    end = 0
    for query in range(count):
        for turn in range(2):  # how often each picture comes; then what that leaves of a vote
            for place in range(begin[query], begin[query + 1]):
                pair = order[place]
                picture = pictures[pair]
                slot = picture & slots - 1
                while owner[slot] == query and known[slot] != picture:
                    slot = slot + 1 & slots - 1
                if owner[slot] != query:
                    owner[slot], known[slot], times[slot] = query, picture, 0
                if turn == 0:
                    times[slot] += 1
                    continue
                room = picture & rooms - 1
                while numbers[room] >= 0 and listed[numbers[room]] != picture:
                    room = room + 1 & rooms - 1
                if numbers[room] < 0:
                    numbers[room], listed[end] = end, picture
                    end += 1
                where[pair] = numbers[room]
                said[pair] = np.rint(said[pair] / times[slot] * shares) / shares
                most[where[pair]] += said[pair]
    return where, listed[:end], most[:end]


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
        column, sums = types.int64[::1], types.float64[::1]
        self._held = _compiled(_held, sums(column, column, sums, whole))
        answer: Any = types.Tuple((column, column, sums))  # type: ignore[no-untyped-call]
        self._shared = _compiled(
            _shared,
            answer(column, column, sums, whole, types.float64),
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

    def votes(self, pairs: Pairs, queries: int, incidents: int) -> tuple[Ints, Floats]:
        queried, pictures = (np.ascontiguousarray(a) for a in (pairs.queries, pairs.pictures))
        if not len(queried):
            return pictures, np.empty(0)
        of_incident = np.ascontiguousarray(pairs.incidents)
        held = self._held(queried, of_incident, pairs.weights, queries)
        said = pairs.weights * voting.rarity_of(held, incidents)[queried]
        where, listed, most = self._shared(queried, pictures, said, queries, voting.SHARES)
        order = np.argsort(listed)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return voting.counted(listed[order], most[order], place[where], pairs.bins, said)
