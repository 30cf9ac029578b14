"""The immutable segments of `hashdb.index.hamming`, and how they are searched.

Two codes within r bits are near in a part of them: of m parts, at least one lies within r // m
bits ("multi-index hashing": Norouzi, Punjani, Fleet, "Fast exact search in Hamming space with
multi-index hashing", 2014; with the sharper radii of the general pigeonhole principle: Qin et al.,
"GPH: Similarity search in Hamming space", 2018). Parts that are looked up as keys must be short,
and short parts let many through. So here the principle goes on: the parts of a word of 64 bits
stand in a ring, and one of them is near, and near together with the one after it as well ("the
pigeonring principle": Qin and Xiao, "Pigeonring: A principle for faster thresholded similarity
search", 2018). Each part is the key of a table; beside each entry stands the next part, its sketch,
and 32 sketches are compared in one instruction. Only what is near in both parts is looked at as a
whole.

A word has four parts of 16 bits, or in segments of many codes three of 21: more keys with fewer
entries each, and 42 bits that must be near instead of 32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hashdb.index import hamming_kernels as kernels
from hashdb.index import hamming_scan, hamming_tables
from hashdb.index.hamming_filing import (
    FILED,
    MOST,
    NOT_REPEATED,
    Bits,
    Filing,
    Words,
    file,
    frozen,
)
from hashdb.index.hamming_kernels import Found, Plan
from hashdb.index.hamming_plan import keys_asked, plan
from hashdb.index.hamming_tables import SMALL, WIDE, Asked, Stored, Tables
from hashdb.index.row_bits import RowBits
from hashdb.index.side_by_side import both
from hashdb.machine import LANES
from hashdb.model import Codes, Ints
from hashdb.ports import CodeHits, nearest

_COMPARED = 1 / 16  # share of codes: a query that is compared with more is compared with all
_ROOM = 1 << 13  # hits there is room for at first
_SCANNED = 8  # sketches compared in the time in which one code is scanned
_LOOKED_UP = {SMALL: LANES, WIDE: 16 * LANES}  # and in which a key is, of tables too large to cache
_LINE = 64  # bytes of a cache line; no code of up to 512 bits shall lie across two

NEAREST = {SMALL: (1, 4), WIDE: (2, 6)}
"""Within how many bits of a key, and of it and the part beside it, `may_hit` looks. Of codes that
differ by less than an eighth of their bits, some part of either layout is that near. Beyond that it
is luck, of which all those tables have much."""

_Ask = Callable[[int, Found], tuple[int, int]]


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """n codes that never change; removing some makes a new segment that shares all but `gone`.

    `codes` (n * words,) uint64, one after the other. The id of row i is `first + offsets[i]`, or
    `first + i` where `offsets` is None; ids rise. `gone`: which rows are. Each distinct code
    is in the `tables` once: the bits of `repeated` are set for rows whose code stands in an earlier
    row, and `repeats[heads == row]` are the rows that repeat it (both (k,) int32, `heads` rise).
    Without `tables` nothing is repeated. `count`: how many rows are not gone. `mapped`: the arrays
    are maps of a file, shared by processes, so the segment is not built anew here.

    All arrays are read-only, be they maps or not: the loops are compiled for one or the other.
    """

    words: int
    codes: Words
    first: int
    offsets: NDArray[np.uint32] | Ints | None
    gone: RowBits
    count: int
    repeated: Bits
    heads: NDArray[np.int32]
    repeats: NDArray[np.int32]
    tables: Tables | None
    mapped: bool = False

    def __len__(self) -> int:
        return len(self.codes) // self.words

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = (self.codes, self.gone, self.repeated, self.heads, self.repeats)
        beside = (self.offsets,) if self.offsets is not None else ()
        return sum(a.nbytes for a in (*arrays, *beside, *(self.tables or ())))

    def ids(self, rows: Ints) -> Ints:
        return self.first + (rows if self.offsets is None else self.offsets[rows].astype(np.int64))

    def find(self, ids: Ints) -> Ints:
        """The live rows of those of `ids` that are here."""
        rows = ids - self.first
        if self.offsets is None:
            rows = rows[(rows >= 0) & (rows < len(self))]
        else:
            rows = rows[(rows >= 0) & (rows <= int(self.offsets[-1]))].astype(self.offsets.dtype)
            at = np.searchsorted(self.offsets, rows)
            rows = at[self.offsets[at] == rows]
        return rows[~self.gone.has(rows)]

    def without(self, rows: Ints) -> Segment:
        """The same segment with some live rows removed."""
        return replace(self, gone=self.gone.marked(rows), count=self.count - len(rows))

    def live(self) -> Ints:
        """The rows that are not gone."""
        return self.gone.unmarked(0, len(self))

    def entries(self) -> tuple[Codes, Ints]:
        """The live codes and ids, in the order of the ids."""
        return Slice(self, 0, len(self)).entries()

    def slices(self) -> Iterator[Slice]:
        """All of it, in parts of no more codes than go into the memory easily."""
        for begin in range(0, len(self), MOST):
            yield Slice(self, begin, min(begin + MOST, len(self)))

    def search(self, queries: Asked, radius: int, most: int | None = None) -> list[CodeHits]:
        """The hits of some queries, in parts; of each part a query's nearest `most`."""
        parts = []
        for found in self._found(queries, radius):
            hits = self._expanded(found, most)
            if len(hits):
                parts.append(hits)
        return parts

    def may_hit(self, asked: Asked, radius: int) -> bool:
        """See `IndexBackend.may_hit`. What was removed counts as well."""
        full = kernels.room(0)  # the first hit has no room there, which ends the search
        plan = self._plan(radius, nearest_keys=True)
        if plan is not None:
            compared = _none_of(asked)
            after, _ = self._look_up(asked, radius, plan, compared, len(plan.limits))(0, full)
            if after < len(plan.limits) or (compared <= self._most).all():
                return after < len(plan.limits)
            asked = self._crowded(asked, compared)
        after, _ = self._scan(asked, radius)(0, full)
        return after < len(self)

    def _found(self, asked: Asked, radius: int) -> list[Found]:
        """Rows within the radius, each distinct code's first, in parts as they fit into a room."""
        plan = self._plan(radius)
        if plan is None:
            return list(_parts(self._scan(asked, radius), 0, len(self)))
        half, end = len(plan.limits) // 2, len(plan.limits)
        (one, by_one), (other, by_other) = both(
            lambda: self._found_by(asked, radius, plan, 0, half),
            lambda: self._found_by(asked, radius, plan, half, end),
        )
        parts, compared = one + other, by_one + by_other
        crowded = np.flatnonzero(compared > self._most)
        if len(crowded):
            parts = [part.take(compared[part.queries] <= self._most) for part in parts]
            scan = self._scan(self._crowded(asked, compared), radius)
            scanned = _parts(scan, 0, len(self))
            parts += [found._replace(queries=crowded[found.queries]) for found in scanned]
        return parts

    def _found_by(
        self, asked: Asked, radius: int, plan: Plan, begin: int, end: int
    ) -> tuple[list[Found], NDArray[np.int64]]:
        """What some of the tables lead to, and with how many codes each query was compared."""
        compared = _none_of(asked)
        return list(_parts(self._look_up(asked, radius, plan, compared, end), begin, end)), compared

    def _look_up(
        self, asked: Asked, radius: int, plan: Plan, compared: NDArray[np.int64], end: int
    ) -> _Ask:
        """Ask the tables from one on and before `end`; counts with how many codes each query is
        compared."""
        assert self.tables is not None
        stored, words, tables, most = self._stored(), self.words, self.tables, self._most
        scratch = kernels.scratch()

        def ask(table: int, room: Found) -> tuple[int, int]:
            return kernels.search_tables(
                stored, asked, words, table, end, radius, tables, plan, most, compared, scratch,
                room,
            )  # fmt: skip

        return ask

    def _scan(self, asked: Asked, radius: int) -> _Ask:
        """Compare with all codes from a row on."""
        planes = hamming_scan.planes()

        def ask(row: int, room: Found) -> tuple[int, int]:
            return hamming_scan.scan(self._stored(), row, asked, self.words, radius, planes, room)

        return ask

    @property
    def _most(self) -> int:
        return int(len(self) * _COMPARED)

    def _crowded(self, asked: Asked, compared: NDArray[np.int64]) -> Asked:
        """The queries that the tables lead to too many codes."""
        codes = asked.codes.reshape(-1, self.words)
        return hamming_tables.asked(codes[compared > self._most])

    def _stored(self) -> Stored:
        return Stored(self.codes, self.repeated)

    def _plan(self, radius: int, *, nearest_keys: bool = False) -> Plan | None:
        """How to ask the tables; None where that takes longer than a scan, or there are none."""
        if self.tables is None:
            return None
        parts, keys = self.tables.starts.shape[0], self.tables.starts.shape[1] - 1
        each = parts // self.words
        asked = keys_asked(radius, self.words, each, keys)
        if asked * (len(self) / keys + _LOOKED_UP[each]) > _SCANNED * len(self):
            return None
        return plan(radius, self.words, each, keys, NEAREST[each] if nearest_keys else None)

    def _expanded(self, found: Found, most: int | None) -> CodeHits:
        """A hit for each live row with a code that was found; `most`: rows of one code are as far
        as one another, so that of each no more than the first so many are wanted."""
        queries, rows, distances = found
        source = rows  # where the code may be read: rows that repeat it lie far apart
        if len(self.heads):
            heads = rows.astype(np.int32)
            begin = np.searchsorted(self.heads, heads, "left")
            times = np.searchsorted(self.heads, heads, "right") - begin
            if most is not None:
                times = np.minimum(times, most + len(self) - self.count)
            before = np.cumsum(times) - times
            places = np.repeat(begin - before, times) + np.arange(times.sum())
            source = np.concatenate([rows, np.repeat(rows, times)])
            rows = np.concatenate([rows, self.repeats[places]])
            queries = np.concatenate([queries, np.repeat(queries, times)])
            distances = np.concatenate([distances, np.repeat(distances, times)])
        if self.count < len(self):
            live = ~self.gone.has(rows)
            queries, rows, distances = queries[live], rows[live], distances[live]
            source = source[live]
        # Rows have the order of the ids.
        kept = None if most is None else nearest(queries, rows, distances, most)
        if kept is not None:
            queries, rows, distances = queries[kept], rows[kept], distances[kept]
            source = source[kept]
        codes = self.codes.view(np.uint8).reshape(len(self), 8 * self.words)[source]
        return CodeHits(queries, self.ids(rows), distances, codes)


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """The rows of a segment from `begin` on and before `end`, at least one."""

    segment: Segment
    begin: int
    end: int

    @property
    def span(self) -> tuple[int, int]:
        """The lowest and the highest id."""
        ends = self.segment.ids(np.array([self.begin, self.end - 1]))
        return int(ends[0]), int(ends[1])

    def entries(self) -> tuple[Codes, Ints]:
        """The live codes and ids, in the order of the ids."""
        segment = self.segment
        codes = segment.codes.view(np.uint8).reshape(len(segment), 8 * segment.words)
        if segment.count == len(segment):
            rows = np.arange(self.begin, self.end)
            return codes[self.begin : self.end], segment.ids(rows)
        rows = segment.gone.unmarked(self.begin, self.end)
        return codes[rows], segment.ids(rows)


def _none_of(asked: Asked) -> NDArray[np.int64]:
    """A zero for each query."""
    return np.zeros(asked.members.shape[1], dtype=np.int64)


def _parts(ask: _Ask, begin: int, end: int) -> Iterator[Found]:
    """What is found from one place after another up to `end`. `ask(place, room)` fills the room,
    and answers the next place and how many hits there are before it; at the same place again there
    was no room."""
    room, done = kernels.room(_ROOM), begin
    while done < end:
        after, count = ask(done, room)
        if count:
            yield room.take(np.arange(count))
        if after == done:
            room = kernels.room(8 * len(room.rows))
        done = after


def build_segment(codes: Codes, ids: Ints) -> Segment:
    """A segment of (n, bits/8) codes under (n,) distinct ids, n > 0."""
    n, words = len(ids), codes.shape[1] // 8
    if not bool((ids[1:] > ids[:-1]).all()):
        order = np.argsort(ids)
        codes, ids = codes[order], ids[order]
    flat = _aligned(n * words)
    flat.view(np.uint8)[:] = codes.reshape(-1)
    filing = file(frozen(flat), words) if n >= FILED else None
    return _segment(frozen(flat), words, int(ids[0]), _offsets(ids), filing)


def mapped_segment(codes: Words, words: int, first: int, filing: Filing | None) -> Segment:
    """A segment of (n * words,) mapped codes under the ids from `first` on, filed already; without
    `filing` it is scanned."""
    return replace(_segment(codes, words, first, None, filing), mapped=True)


def _segment(
    codes: Words, words: int, first: int, offsets: NDArray[np.uint32] | Ints | None,
    filing: Filing | None,
) -> Segment:  # fmt: skip
    n = len(codes) // words
    again = NOT_REPEATED if filing is None else filing.again
    return Segment(
        words=words,
        codes=codes,
        first=first,
        offsets=offsets,
        gone=RowBits.none(n),
        count=n,
        repeated=frozen(np.zeros(n // 8 + 1, np.uint8)) if filing is None else again.repeated,
        heads=again.heads,
        repeats=again.repeats,
        tables=None if filing is None else filing.tables,
    )


def _offsets(ids: Ints) -> NDArray[np.uint32] | Ints | None:
    """Rising ids, counted from the first one; None where they follow on one another."""
    if int(ids[-1]) - int(ids[0]) == len(ids) - 1:
        return None
    offsets = ids - ids[0]
    if int(offsets[-1]) < 1 << 32:
        return np.asarray(offsets, dtype=np.uint32)
    return np.asarray(offsets, dtype=np.int64)


def _aligned(words: int) -> Words:
    room = np.empty(words + _LINE // 8, dtype=np.uint64)
    begin = -(room.ctypes.data // 8) % (_LINE // 8)
    return room[begin : begin + words]
