"""The compiled search of the tables of `hashdb.index.hamming`. Needs numba (the extra `fast`).

Loops keep no state, so any number of threads may be in one. All arrays are C-contiguous. What is
stored is read-only (but for tables that are being filled), all else is not; numba would compile
anew for others. Tables may be maps of a file that is damaged: rows and entries that are not there
are never read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashdb.index.hamming_tables import (
    ROW_BITS,
    SKETCH_BITS,
    SMALL,
    Asked,
    Stored,
    Tables,
    part_mask,
)
from hashdb.machine import (
    LANES,
    compiled,
    inlined,
    lowest_bit,
    near_lanes,
    popcount,
    prefetch,
)

AT_ONCE = 128  # keys asked together, and groups of entries that are near
_WAITING = 256  # entries that wait for their codes to be fetched


class Plan(NamedTuple):
    """How far apart a code may be from a query and must still be found by table t.

    `each`: parts of a word. `word` (t,) int64: the one that the table's part is in; `shifts`,
    `beside` (t,) uint64: how many bits of it are below the part, and below the one beside it.
    `limits` (t,) int64: bits of both parts together; `radii` (t,) int64: bits of the part's key,
    -1 where the table is not asked. `masks` uint32: `masks[begins[t]:ends[t]]` are the keys of at
    most `radii[t]` bits, and `weights` int64 how many bits they have; `steps[t]` are asked at once.
    """

    each: int
    word: NDArray[np.int64]
    shifts: NDArray[np.uint64]
    beside: NDArray[np.uint64]
    limits: NDArray[np.int64]
    radii: NDArray[np.int64]
    masks: NDArray[np.uint32]
    weights: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]
    steps: NDArray[np.int64]


class Found(NamedTuple):
    """Hits, or room for them: `queries`, `rows` (k,) int64, `distances` (k,) int16."""

    queries: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: NDArray[np.int16]

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Found:
        return Found(self.queries[rows], self.rows[rows], self.distances[rows])


class Scratch(NamedTuple):
    """What `search_tables` writes on: `near` (3, AT_ONCE + 1) uint64, see `_near`; `waiting` (4,
    _WAITING) int64: of each entry the set of queries, its place, and of wide tables by how many
    bits the rest of the part beside may differ from the query's, and that of the query."""

    near: NDArray[np.uint64]
    waiting: NDArray[np.int64]


def scratch() -> Scratch:
    return Scratch(np.empty((3, AT_ONCE + 1), np.uint64), np.empty((4, _WAITING), np.int64))


def room(size: int) -> Found:
    return Found(np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size, np.int16))


@inlined
def distance(codes: Any, at: Any, queries: Any, first: Any, words: Any) -> Any:
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


@inlined
def _known(
    stored: Any, asked: Any, plan: Any, words: Any, mask: Any, table: Any, query: Any, row: Any
) -> Any:
    """Whether a table before `table` leads the query to the row as well."""
    known = False
    for t in range(table):
        at = plan.word[t]
        differ = asked.codes[query * words + at] ^ stored.codes[row * words + at]
        apart = popcount((differ >> plan.shifts[t]) & mask)
        near = popcount((differ >> plan.beside[t]) & part_mask(plan.each))
        if apart <= plan.radii[t] and apart + near <= plan.limits[t]:
            known = True
            break
    return known


@inlined
def _chosen(rows: Any, wide: Any, highest: Any, waiting: Any, many: Any) -> Any:
    """Of the `many` entries that wait, those whose part beside is near as a whole: how many, their
    sets and rows in front. None waits for the one before."""
    chosen = many
    if wide:
        chosen = 0
        for i in range(many):
            at = 4 * waiting[1, i]
            low, middle = np.uint64(rows[at]), np.uint64(rows[at + 1])
            entry = low | middle << np.uint64(8) | np.uint64(rows[at + 2]) << np.uint64(16)
            entry |= np.uint64(rows[at + 3]) << np.uint64(24)
            apart = popcount((entry >> np.uint64(ROW_BITS)) ^ np.uint64(waiting[3, i]))
            near = apart <= waiting[2, i]
            waiting[0, chosen] = waiting[0, i]
            waiting[1, chosen] = min(np.int64(entry & np.uint64((1 << ROW_BITS) - 1)), highest)
            chosen += np.int64(near)
    else:
        for i in range(many):
            at = 3 * waiting[1, i]
            row = np.int64(rows[at]) | np.int64(rows[at + 1]) << 8 | np.int64(rows[at + 2]) << 16
            waiting[1, i] = min(row, highest)
    return chosen


@inlined
def _compare(
    stored: Any, asked: Any, radius: Any, tables: Any, plan: Any, words: Any, table: Any,
    waiting: Any, many: Any, found: Any, count: Any,
) -> Any:  # fmt: skip
    """Compare the `many` entries of a table that wait, each with all queries of its set; how many
    hits there are then, more than there is room for where they do not fit."""
    mask, word = np.uint64(tables.starts.shape[1] - 2), plan.word[table]
    hits, highest = count, len(stored.codes) // words - 1
    chosen = _chosen(tables.rows[table], plan.each != SMALL, highest, waiting, many)
    for i in range(chosen):
        prefetch(stored.codes, waiting[1, i] * words)
    for i in range(chosen):
        alike, row = waiting[0, i], waiting[1, i]
        for member in range(asked.begins[word, alike], asked.begins[word, alike + 1]):
            query = asked.members[word, member]
            apart = distance(stored.codes, row * words, asked.codes, query * words, words)
            if apart <= radius and not _known(stored, asked, plan, words, mask, table, query, row):
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
    `beside`. How many groups have some that are near: of those the place in `near[0]`, and in
    `near[1]` a bit for each sketch and above these within how many bits it is to be; and how many
    keys have further sketches: their masks in `near[2]`.

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
        within = limit - plan.weights[m]
        bits = near_lanes(sketches, at, beside, np.uint16(within))
        bits &= (one << min(size, lanes)) - one
        near[np.uint64(0), many] = at
        near[one, many] = bits | np.uint64(within) << lanes
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
    while left and many < AT_ONCE:
        m = np.int64(near[2, left - 1])
        key = np.int64(own) ^ np.int64(plan.masks[m])
        at, end = np.int64(starts[key]) + done, min(np.int64(starts[key + 1]), most)
        within = limit - plan.weights[m]
        bits = near_lanes(sketches, at, beside, np.uint16(within))
        if end - at < LANES:
            bits &= np.uint64((1 << (end - at)) - 1)
        if bits:
            near[0, many], near[1, many] = at, bits | np.uint64(within) << np.uint64(LANES)
            many += 1
        done += LANES
        if end - at <= LANES:
            left, done = left - 1, LANES
    return many, left, done


@inlined
def _fetch(starts: Any, sketches: Any, own: Any, plan: Any, begin: Any, end: Any) -> Any:
    """Have the sketches of the keys `own ^ masks[begin:end]` fetched: three lines of memory where
    keys have more than are compared at once."""
    deep = len(sketches) > LANES * len(starts)
    for m in range(np.uint64(begin), np.uint64(end)):
        place = np.int64(starts[own ^ np.uint64(plan.masks[m])])
        prefetch(sketches, place)
        prefetch(sketches, place + LANES - 1)
        if deep:
            prefetch(sketches, place + 2 * LANES - 1)


@inlined
def _word(asked: Any, words: Any, word: Any, alike: Any) -> Any:
    """The word that a set of queries shares; the last set's where there are not so many."""
    at = asked.begins[word, min(alike, asked.sizes[word] - 1)]
    return asked.codes[asked.members[word, at] * words + word]


@inlined
def _wait(sketches: Any, rows: Any, wide: Any, alike: Any, place: Any, group: Any, beside: Any,
          rest: Any, waiting: Any, many: Any) -> Any:  # fmt: skip
    """Have the entries of a group that are near wait, behind the `many` that do; how many do
    then."""
    wait, bits = many, group & np.uint64((1 << LANES) - 1)
    within = np.int64(group >> np.uint64(LANES))
    while bits:
        at = place + lowest_bit(bits)
        waiting[0, wait], waiting[1, wait] = alike, at
        if wide:
            waiting[2, wait] = within - popcount(np.uint64(sketches[at] ^ beside))
            waiting[3, wait] = rest
            prefetch(rows, 4 * at)
        else:
            prefetch(rows, 3 * at)
        bits &= bits - np.uint64(1)
        wait += 1
    return wait


@inlined
def _ask_table(
    stored: Any, asked: Any, alike: Any, radius: Any, tables: Any, plan: Any, words: Any,
    table: Any, near: Any, waiting: Any, many: Any, found: Any, count: Any,
) -> Any:  # fmt: skip
    """Ask one table for one set of queries: entries that wait then, hits, and how many entries were
    near. While some of its keys are asked the next ones' sketches are fetched, and of the set after
    the next where they begin, which of small tables is in the cache anyway."""
    starts, sketches, rows = tables.starts[table], tables.sketches[table], tables.rows[table]
    mask, limit = np.uint64(len(starts) - 2), plan.limits[table]
    first, stop, step = plan.begins[table], plan.ends[table], plan.steps[table]
    word, shift, wide = plan.word[table], plan.shifts[table], plan.each != SMALL
    value = _word(asked, words, word, alike)
    own = (value >> shift) & mask
    follows = (_word(asked, words, word, alike + 1) >> shift) & mask
    after = (_word(asked, words, word, alike + 2) >> shift) & mask
    next_part = (value >> plan.beside[table]) & part_mask(plan.each)
    beside = np.uint16(next_part & np.uint64((1 << SKETCH_BITS) - 1))
    rest = np.int64(next_part >> np.uint64(SKETCH_BITS))
    wait, hits, compared = many, count, 0
    for begin in range(first, stop, step):
        end = min(begin + step, stop)
        if end < stop:
            _fetch(starts, sketches, own, plan, end, min(end + step, stop))
        else:
            _fetch(starts, sketches, follows, plan, first, min(first + step, stop))
        if wide:
            for m in range(np.uint64(begin), np.uint64(end)):
                prefetch(starts, np.int64(after ^ np.uint64(plan.masks[m])))
        groups, longer = _near(starts, sketches, own, beside, limit, plan, begin, end, near)
        skip = LANES
        while groups or longer:
            for group in range(groups):
                before = wait
                wait = _wait(
                    sketches, rows, wide, alike, np.int64(near[0, group]), near[1, group], beside,
                    rest, waiting, wait,
                )  # fmt: skip
                compared += wait - before
                if wait > _WAITING - LANES:
                    hits = _compare(
                        stored, asked, radius, tables, plan, words, table, waiting, wait, found,
                        hits,
                    )  # fmt: skip
                    wait = 0
            groups, longer, skip = _further(
                starts, sketches, own, beside, limit, plan, near, longer, skip
            )
    return wait, hits, compared


@compiled
def search_tables(
    stored: Stored, asked: Asked, words: int, first: int, stop: int, radius: int, tables: Tables,
    plan: Plan, most: int, compared: NDArray[np.int64], scratch: Scratch, found: Found,
) -> tuple[int, int]:  # fmt: skip
    """Hits of all queries by the tables from `first` on and before `stop`, into `found`: the table
    that comes next, whose hits had no room, and how many hits there are by those before it. A code
    is a hit once, by the first of all tables that leads to it. `compared` (m,): with how many codes
    each query was compared so far; one that has been with more than `most` is asked no more, and
    has hits missing."""
    near, waiting = scratch
    count = 0
    for table in range(first, stop):
        before, wait = count, 0
        if plan.radii[table] >= 0:
            word = plan.word[table]
            for alike in range(asked.sizes[word]):
                begin, end, wanted = asked.begins[word, alike], asked.begins[word, alike + 1], False
                for member in range(begin, end):
                    wanted |= compared[asked.members[word, member]] <= most
                if wanted:
                    wait, count, some = _ask_table(
                        stored, asked, alike, radius, tables, plan, words, table, near,
                        waiting, wait, found, count,
                    )  # fmt: skip
                    for member in range(begin, end):
                        compared[asked.members[word, member]] += some
            count = _compare(
                stored, asked, radius, tables, plan, words, table, waiting, wait, found, count
            )
        if count > len(found.rows):
            return table, before
    return stop, count
