"""The compiled loops of `hashdb.index.hamming`. Needs numba (the extra `fast`).

They keep no state, so any number of threads may be in one. All arrays are C-contiguous. What is
stored is read-only (but for tables that are being filled), all else is not; numba would compile
anew for others. Tables may be maps of a file that is damaged: rows and entries that are not there
are never read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashdb.machine import (
    LANES,
    compiled,
    inlined,
    lowest_bit,
    near_lanes,
    popcount,
    prefetch,
)

_AT_ONCE = 128  # keys asked together, and groups of entries that are near
_WAITING = 256  # entries that wait for their codes to be fetched
_BLOCK = 512  # codes scanned at once: 16 KB of 256-bit codes stay in the L1 cache
_GROUP = 32  # codes of a block that are passed over together


class Stored(NamedTuple):
    """n codes: `codes` (n * words,) uint64, `halves` the same memory as uint16, in parts of 16
    bits; `skip`: a bit for each row, the lowest of a byte first: set for those to pass over."""

    codes: NDArray[np.uint64]
    halves: NDArray[np.uint16]
    skip: NDArray[np.uint8]


class Asked(NamedTuple):
    """m query codes: `codes` (m * words,) uint64, `halves` the same memory as uint16.

    Queries that have the same 32 bits in two parts side by side ask those parts' tables once. Of
    the pair of parts p: `members[p]` (m,) int64, the queries by their 32 bits; `sizes[p]` sets of
    equal ones, of which the set s is `members[p, begins[p, s]:begins[p, s + 1]]`.
    """

    codes: NDArray[np.uint64]
    halves: NDArray[np.uint16]
    members: NDArray[np.int64]
    begins: NDArray[np.int64]
    sizes: NDArray[np.int64]


def asked(codes: NDArray[np.uint64]) -> Asked:
    """(m, words) uint64, C-contiguous and writable."""
    pairs = codes.view(np.uint32).T
    members = np.argsort(pairs, axis=1, kind="stable")
    begins = np.zeros((len(pairs), len(codes) + 1), dtype=np.int64)
    sizes = np.zeros(len(pairs), dtype=np.int64)
    for pair, order in enumerate(members):
        values = pairs[pair][order]
        starts = np.flatnonzero(values[1:] != values[:-1]) + 1
        sizes[pair] = len(starts) + 1
        begins[pair, 1 : len(starts) + 1] = starts
        begins[pair, len(starts) + 1] = len(codes)
    flat = codes.reshape(-1)
    return Asked(flat, flat.view(np.uint16), np.ascontiguousarray(members), begins, sizes)


class Tables(NamedTuple):
    """d distinct codes filed under each of t parts.

    `starts` (t, 2^key_bits + 1) uint32: where a key's entries begin; `sketches` (t, d + LANES)
    uint16: the part beside each entry's; `rows` (t, 3d) uint8: its row, 24 bits, low byte first.
    """

    starts: NDArray[np.uint32]
    sketches: NDArray[np.uint16]
    rows: NDArray[np.uint8]


class Plan(NamedTuple):
    """How far apart a code may be from a query and must still be found by table t.

    `limits` (t,) int64: bits of the part and the one beside it together; `radii` (t,) int64: bits
    of the part's key, -1 where the table is not asked. `masks` uint16: `masks[begins[t]:ends[t]]`
    are the keys of at most `radii[t]` bits, and `weights` int64 how many bits they have.
    """

    limits: NDArray[np.int64]
    radii: NDArray[np.int64]
    masks: NDArray[np.uint16]
    weights: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


class Found(NamedTuple):
    """Hits, or room for them: `queries`, `rows` (k,) int64, `distances` (k,) int16."""

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: NDArray[np.int16]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Found:
        return Found(self.queries[rows], self.rows[rows], self.distances[rows])


class Scratch(NamedTuple):
    """What `search_tables` writes on: `near` (3, _AT_ONCE + 1) uint64, `waiting` (2, _WAITING)."""

    near: NDArray[np.uint64]
    waiting: NDArray[np.int64]


def scratch() -> Scratch:
    return Scratch(np.empty((3, _AT_ONCE + 1), np.uint64), np.empty((2, _WAITING), np.int64))


def planes() -> NDArray[np.uint64]:
    """What `scan` writes on: the first words of a block's codes side by side, then the second."""
    return np.zeros((2, _BLOCK), dtype=np.uint64)


def room(size: int) -> Found:
    return Found(np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int16))


@inlined
def _has(bits: Any, row: Any) -> Any:
    return (bits[row >> 3] >> (row & 7)) & 1 != 0


@inlined
def _distance(codes: Any, at: Any, queries: Any, first: Any, words: Any) -> Any:
    """Bits between the code that begins at word `at` and the query that begins at `first`."""
    if words == 4:
        left = popcount(codes[at] ^ queries[first]) + popcount(codes[at + 1] ^ queries[first + 1])
        right = popcount(codes[at + 2] ^ queries[first + 2])
        apart = left + right + popcount(codes[at + 3] ^ queries[first + 3])
    else:
        apart = 0
        for word in range(words):
            apart += popcount(codes[at + word] ^ queries[first + word])
    return apart


@compiled
def fill_tables(stored: Stored, tables: Tables, places: NDArray[np.int64]) -> None:
    """File all codes but those to skip, whose number the tables have room for. `places`: room for
    a number a key."""
    _, halves, skip = stored
    starts, sketches, rows = tables
    parts, keys = starts.shape[0], starts.shape[1] - 1
    n = len(halves) // parts
    for t in range(parts):
        starts[t, :] = 0
        for row in range(n):
            if not _has(skip, row):
                starts[t, (np.int64(halves[row * parts + t]) & (keys - 1)) + 1] += np.uint32(1)
        for key in range(keys):
            places[key] = starts[t, key]
            starts[t, key + 1] += starts[t, key]
        for row in range(n):
            if not _has(skip, row):
                key = np.int64(halves[row * parts + t]) & (keys - 1)
                at = places[key]
                places[key] += 1
                sketches[t, at] = halves[row * parts + (t ^ 1)]
                rows[t, 3 * at] = row & 255
                rows[t, 3 * at + 1] = (row >> 8) & 255
                rows[t, 3 * at + 2] = row >> 16
        sketches[t, sketches.shape[1] - LANES :] = 0


@inlined
def _known(stored: Any, asked: Any, plan: Any, keys: Any, table: Any, query: Any, row: Any) -> Any:
    """Whether a table before `table` leads the query to the row as well."""
    parts = len(plan.limits)
    known = False
    for t in range(table):
        key = (asked.halves[query * parts + t] ^ stored.halves[row * parts + t]) & (keys - 1)
        beside = asked.halves[query * parts + (t ^ 1)] ^ stored.halves[row * parts + (t ^ 1)]
        apart = popcount(key)
        if apart <= plan.radii[t] and apart + popcount(beside) <= plan.limits[t]:
            known = True
            break
    return known


@inlined
def _compare(
    stored: Any, asked: Any, radius: Any, tables: Any, plan: Any, table: Any,
    waiting: Any, many: Any, found: Any, count: Any,
) -> Any:  # fmt: skip
    """Compare the `many` entries of a table that wait, each with all queries of its set; how many
    hits there are then, more than there is room for where they do not fit."""
    words, keys = len(plan.limits) // 4, tables.starts.shape[1] - 1
    hits, highest = count, len(stored.codes) // words - 1
    for i in range(many):
        at = 3 * waiting[1, i]
        low, middle = np.int64(tables.rows[table, at]), np.int64(tables.rows[table, at + 1])
        row = low | middle << 8 | np.int64(tables.rows[table, at + 2]) << 16
        waiting[1, i] = min(row, highest)
        prefetch(stored.codes, waiting[1, i] * words)
    pair = table >> 1
    for i in range(many):
        alike, row = waiting[0, i], waiting[1, i]
        for member in range(asked.begins[pair, alike], asked.begins[pair, alike + 1]):
            query = asked.members[pair, member]
            apart = _distance(stored.codes, row * words, asked.codes, query * words, words)
            if apart <= radius and not _known(stored, asked, plan, keys, table, query, row):
                if hits < len(found.rows):
                    found.queries[hits] = query
                    found.rows[hits] = row
                    found.distances[hits] = apart
                hits += 1
    return hits


@inlined
def _near(starts: Any, sketches: Any, own: Any, beside: Any, limit: Any, plan: Any, begin: Any,
          end: Any, near: Any) -> Any:  # fmt: skip
    """Compare the sketches of the keys `own ^ masks[begin:end]`, the first ones of each key, with
    `beside`. How many groups have some that are near: their places and a bit for each, in `near`;
    and how many keys have further sketches, those keys, and how many bits of them were given.

    No step waits for the one before: indices are unsigned, for numba looks at each that might be
    negative, and what is not near is written and then written over, for branches would be guessed
    wrong. Damaged `starts` lead to no place beyond the sketches.
    """
    one, lanes, most = np.uint64(1), np.uint64(LANES), np.uint64(len(sketches) - LANES)
    many, longer = np.uint64(0), np.uint64(0)
    for m in range(np.uint64(begin), np.uint64(end)):
        key = own ^ np.uint64(plan.masks[m])
        at = min(np.uint64(starts[key]), most)
        size = max(min(np.uint64(starts[key + one]), most), at) - at
        bits = near_lanes(sketches, at, beside, np.uint16(limit - plan.weights[m]))
        bits &= (one << min(size, lanes)) - one
        near[np.uint64(0), many] = at
        near[one, many] = bits
        many += np.uint64(bits != np.uint64(0))
        near[np.uint64(2), longer] = m
        longer += np.uint64(size > lanes)
    return np.int64(many), np.int64(longer)


@inlined
def _further(starts: Any, sketches: Any, own: Any, beside: Any, limit: Any, plan: Any, near: Any,
             longer: Any, skip: Any) -> Any:  # fmt: skip
    """The same of keys with more sketches than are compared at once, from the last of the `longer`
    ones on, `skip` sketches of which are done: as many groups as there is room for, and what is
    left."""
    many, left, done, most = 0, longer, skip, len(sketches) - LANES
    while left and many < _AT_ONCE:
        m = np.int64(near[2, left - 1])
        key = np.int64(own) ^ np.int64(plan.masks[m])
        at, end = np.int64(starts[key]) + done, min(np.int64(starts[key + 1]), most)
        bits = near_lanes(sketches, at, beside, np.uint16(limit - plan.weights[m]))
        if end - at < LANES:
            bits &= np.uint64((1 << (end - at)) - 1)
        if bits:
            near[0, many], near[1, many] = at, bits
            many += 1
        done += LANES
        if end - at <= LANES:
            left, done = left - 1, LANES
    return many, left, done


@inlined
def _ask_table(
    stored: Any, asked: Any, alike: Any, radius: Any, tables: Any, plan: Any, table: Any,
    near: Any, waiting: Any, many: Any, found: Any, count: Any,
) -> Any:  # fmt: skip
    """Ask one table for one set of queries: entries that wait then, hits, and how many entries were
    near."""
    starts, sketches, rows = tables.starts[table], tables.sketches[table], tables.rows[table]
    parts, keys, limit = len(plan.limits), len(starts) - 1, plan.limits[table]
    query = asked.members[table >> 1, asked.begins[table >> 1, alike]]
    own = np.uint64(asked.halves[query * parts + table]) & np.uint64(keys - 1)
    beside = asked.halves[query * parts + (table ^ 1)]
    after = min(alike + 1, asked.sizes[table >> 1] - 1)
    follows = asked.members[table >> 1, asked.begins[table >> 1, after]]
    next_own = np.uint64(asked.halves[follows * parts + table]) & np.uint64(keys - 1)
    wait, hits, compared = many, count, 0
    for begin in range(plan.begins[table], plan.ends[table], _AT_ONCE):
        end = min(begin + _AT_ONCE, plan.ends[table])
        for m in range(np.uint64(begin), np.uint64(end)):
            at = np.int64(starts[next_own ^ np.uint64(plan.masks[m])])
            prefetch(sketches, at)
            prefetch(sketches, at + LANES - 1)
        groups, longer = _near(starts, sketches, own, beside, limit, plan, begin, end, near)
        skip = LANES
        while groups or longer:
            for group in range(groups):
                place, bits = np.int64(near[0, group]), near[1, group]
                while bits:
                    waiting[0, wait] = alike
                    waiting[1, wait] = place + lowest_bit(bits)
                    prefetch(rows, 3 * waiting[1, wait])
                    bits &= bits - np.uint64(1)
                    wait += 1
                    compared += 1
                if wait > _WAITING - LANES:
                    hits = _compare(
                        stored, asked, radius, tables, plan, table, waiting, wait, found, hits
                    )
                    wait = 0
            groups, longer, skip = _further(
                starts, sketches, own, beside, limit, plan, near, longer, skip
            )
    return wait, hits, compared


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
        apart = _distance(stored.codes, row * words, asked.codes, query * words, words)
        if apart <= radius and not _has(stored.skip, row):
            if hits < len(found.rows):
                found.queries[hits] = query
                found.rows[hits] = row
                found.distances[hits] = apart
            hits += 1
    return hits


@compiled
def search_tables(
    stored: Stored, asked: Asked, first: int, radius: int, tables: Tables, plan: Plan, most: int,
    compared: NDArray[np.int64], scratch: Scratch, found: Found,
) -> tuple[int, int]:  # fmt: skip
    """Hits of all queries by the tables from `first` on, into `found`: the table that comes next,
    whose hits had no room, and how many hits there are by those before it. A code is a hit once, by
    the first table that leads to it. `compared` (m,): with how many codes each query was compared
    so far; one that has been with more than `most` is asked no more, and has hits missing."""
    near, waiting = scratch
    count = 0
    for table in range(first, len(plan.limits)):
        before, wait = count, 0
        if plan.radii[table] >= 0:
            pair = table >> 1
            for alike in range(asked.sizes[pair]):
                begin, end, wanted = asked.begins[pair, alike], asked.begins[pair, alike + 1], False
                for member in range(begin, end):
                    wanted |= compared[asked.members[pair, member]] <= most
                if wanted:
                    wait, count, some = _ask_table(
                        stored, asked, alike, radius, tables, plan, table, near, waiting, wait,
                        found, count,
                    )  # fmt: skip
                    for member in range(begin, end):
                        compared[asked.members[pair, member]] += some
            count = _compare(
                stored, asked, radius, tables, plan, table, waiting, wait, found, count
            )
        if count > len(found.rows):
            return table, before
    return len(plan.limits), count


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
