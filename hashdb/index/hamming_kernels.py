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

_AT_ONCE = 128  # keys fetched together: their cache lines are under way side by side
_WAITING = 256  # entries that wait for their codes to be fetched
_BLOCK = 512  # codes scanned at once: 16 KB of 256-bit codes stay in the L1 cache


class Stored(NamedTuple):
    """n codes: `codes` (n * words,) uint64, `halves` the same memory as uint16, in parts of 16
    bits; `skip`: a bit for each row, the lowest of a byte first: set for those to pass over."""

    codes: NDArray[np.uint64]
    halves: NDArray[np.uint16]
    skip: NDArray[np.uint8]


class Asked(NamedTuple):
    """m query codes: `codes` (m * words,) uint64, `halves` the same memory as uint16."""

    codes: NDArray[np.uint64]
    halves: NDArray[np.uint16]


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
    of the part's key, -1 where the table is not asked. `masks` int64: `masks[begins[t]:ends[t]]`
    are the keys of at most `radii[t]` bits.
    """

    limits: NDArray[np.int64]
    radii: NDArray[np.int64]
    masks: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


class Found(NamedTuple):
    """Hits, or room for them: `queries`, `rows` (k,) int64, `distances` (k,) int16."""

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: NDArray[np.int16]


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
def fill_tables(stored: Stored, tables: Tables) -> None:
    """File all codes but those to skip, whose number the tables have room for."""
    _, halves, skip = stored
    starts, sketches, rows = tables
    parts, keys = starts.shape[0], starts.shape[1] - 1
    places, n = np.empty(keys, np.int64), len(halves) // parts
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
    stored: Any, asked: Any, query: Any, radius: Any, tables: Any, plan: Any, table: Any,
    waiting: Any, many: Any, found: Any, count: Any,
) -> Any:  # fmt: skip
    """Compare the query with the `many` entries of a table that wait; how many hits there are then,
    more than there is room for where they do not fit."""
    words, keys = len(plan.limits) // 4, tables.starts.shape[1] - 1
    hits, highest = count, len(stored.codes) // words - 1
    for i in range(many):
        at = 3 * waiting[i]
        low, middle = np.int64(tables.rows[table, at]), np.int64(tables.rows[table, at + 1])
        row = low | middle << 8 | np.int64(tables.rows[table, at + 2]) << 16
        waiting[i] = min(row, highest)
        prefetch(stored.codes, waiting[i] * words)
    for i in range(many):
        row = waiting[i]
        apart = _distance(stored.codes, row * words, asked.codes, query * words, words)
        if apart <= radius and not _known(stored, asked, plan, keys, table, query, row):
            if hits < len(found.rows):
                found.queries[hits] = query
                found.rows[hits] = row
                found.distances[hits] = apart
            hits += 1
    return hits


@inlined
def _ask_table(
    stored: Any, asked: Any, query: Any, radius: Any, tables: Any, plan: Any, table: Any,
    waiting: Any, found: Any, count: Any,
) -> Any:  # fmt: skip
    """Ask one table for one query: hits then, and entries compared. Memory is the slow part, so
    each step asks for the cache lines of the next, for many keys at once."""
    starts, sketches, rows = tables.starts[table], tables.sketches[table], tables.rows[table]
    keys, parts = len(starts) - 1, len(plan.limits)
    own = np.int64(asked.halves[query * parts + table]) & (keys - 1)
    beside = asked.halves[query * parts + (table ^ 1)]
    many, compared, hits, end = 0, 0, count, plan.ends[table]
    entries: Any = len(rows) // 3
    for first in range(plan.begins[table], end, _AT_ONCE):
        last = min(first + _AT_ONCE, end)
        for m in range(first, last):
            prefetch(starts, own ^ plan.masks[m])
        for m in range(first, last):
            prefetch(sketches, np.int64(starts[own ^ plan.masks[m]]))
        for m in range(first, last):
            key = own ^ plan.masks[m]
            most = np.uint16(plan.limits[table] - popcount(plan.masks[m]))
            stop: Any = min(np.int64(starts[key + 1]), entries)
            for at in range(np.int64(starts[key]), stop, LANES):
                near = near_lanes(sketches, at, beside, most)
                if stop - at < LANES:
                    near &= np.uint64((1 << (stop - at)) - 1)
                while near:
                    waiting[many] = at + lowest_bit(near)
                    prefetch(rows, 3 * waiting[many])
                    near &= near - np.uint64(1)
                    many += 1
                if many > _WAITING - LANES:
                    hits = _compare(
                        stored, asked, query, radius, tables, plan, table, waiting, many,
                        found, hits,
                    )  # fmt: skip
                    compared += many
                    many = 0
    hits = _compare(stored, asked, query, radius, tables, plan, table, waiting, many, found, hits)
    return hits, compared + many


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
    found: Found,
) -> tuple[int, int]:  # fmt: skip
    """Hits of the queries from `first` on, into `found`: the query that comes next, whose hits had
    no room, and how many hits there are of those before it. A code is a hit once, by the first
    table that leads to it. A query that has been compared with more than `most` codes is compared
    with all instead."""
    words = len(plan.limits) // 4
    queries, n = len(asked.codes) // words, len(stored.codes) // words
    waiting = np.empty(_WAITING, np.int64)
    count = 0
    for query in range(first, queries):
        before, compared = count, 0
        for table in range(len(plan.limits)):
            if plan.radii[table] >= 0 and compared <= most:
                count, some = _ask_table(
                    stored, asked, query, radius, tables, plan, table, waiting, found, count
                )
                compared += some
        if compared > most:
            count = _scan_rows(stored, 0, n, asked, query, words, radius, found, before)
        if count > len(found.rows):
            return query, before
    return queries, count


@compiled
def scan(
    stored: Stored, start: int, asked: Asked, words: int, radius: int, found: Found
) -> tuple[int, int]:
    """Hits of all queries among the codes from row `start` on, into `found`: the row that comes
    next, and how many hits there are before it. It is not the last row where the hits of a block
    had no room; where it is `start`, there are none."""
    n, count = len(stored.codes) // words, 0
    for first in range(start, n, _BLOCK):
        before, last = count, min(first + _BLOCK, n)
        for query in range(len(asked.codes) // words):
            count = _scan_rows(stored, first, last, asked, query, words, radius, found, count)
        if count > len(found.rows):
            return first, before
    return n, count
