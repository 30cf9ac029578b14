"""The immutable segments of `hashdb.index.hamming`, and how they are searched.

Two codes within r bits are near in a part of them: of m parts, at least one lies within r // m
bits ("multi-index hashing": Norouzi, Punjani, Fleet, "Fast exact search in Hamming space with
multi-index hashing", 2014; with the sharper radii of the general pigeonhole principle: Qin et al.,
"GPH: Similarity search in Hamming space", 2018). Parts that are looked up as keys must be short,
and short parts let many through. So here the principle is used twice: a part has 32 bits, and in
one of its halves of 16 the codes lie within half of the part's distance. Each half is a table's
key; beside each entry stands the other half, its sketch, and 32 sketches are compared in one
instruction. Only what is near in all 32 bits is looked at as a whole.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hashdb.index import hamming_kernels as kernels
from hashdb.index.hamming_kernels import Asked, Found, Plan, Stored, Tables
from hashdb.machine import LANES
from hashdb.model import Codes, Ints
from hashdb.ports import CodeHits, nearest

FILED = 1 << 12  # codes from which a segment has tables
MOST = 1 << 24  # codes of a segment: a table's rows have 24 bits
_COMPARED = 1 / 16  # share of codes: a query that is compared with more is compared with all
_ROOM = 1 << 13  # hits there is room for at first
_SCANNED = 8  # sketches compared in the time in which one code is scanned
_A_KEY = 10  # entries, at least
KEY_BITS = 16  # at most
_LINE = 64  # bytes of a cache line; no code of up to 512 bits shall lie across two

NEAREST = 1
"""Bits of a key within which `may_hit` asks: an eighth of the keys that 46 bits take. Of codes that
differ by less than an eighth of their bits, some two parts side by side differ by three bits at
most, and so one of them by one. Beyond that it is luck, of which sixteen tables have much: of codes
40 bits away one in a thousand is missed, of those 46 away three in a hundred."""

# Odd 64-bit constants (xxHash's primes) that spread the words of a code over one sort key.
_MIX = np.array(
    [0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63],
    dtype=np.uint64,
)

Words = NDArray[np.uint64]
Bits = NDArray[np.uint8]
_Array = TypeVar("_Array", bound=NDArray[Any])


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """n codes that never change; removing some makes a new segment that shares all but `gone`.

    `codes` (n * words,) uint64, one after the other. The id of row i is `first + offsets[i]`, or
    `first + i` where `offsets` is None; ids rise. `gone`: a bit for each row. Each distinct code
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
    gone: Bits
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

    @property
    def span(self) -> tuple[int, int]:
        """The lowest and the highest id."""
        ends = self.ids(np.array([0, len(self) - 1]))
        return int(ends[0]), int(ends[1])

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
        return rows[~_has(self.gone, rows)]

    def without(self, rows: Ints) -> Segment:
        """The same segment with some live rows removed."""
        gone = self.gone.copy()
        np.bitwise_or.at(gone, rows >> 3, (1 << (rows & 7)).astype(np.uint8))
        gone.flags.writeable = False
        return replace(self, gone=gone, count=self.count - len(rows))

    def live(self) -> Ints:
        """The rows that are not gone."""
        return np.flatnonzero(np.unpackbits(self.gone, count=len(self), bitorder="little") == 0)

    def entries(self) -> tuple[Codes, Ints]:
        """The live codes and ids, in the order of the ids."""
        codes = self.codes.view(np.uint8).reshape(len(self), 8 * self.words)
        if self.count == len(self):
            return codes, self.ids(np.arange(len(self)))
        rows = self.live()
        return codes[rows], self.ids(rows)

    def search(self, queries: Asked, radius: int, most: int | None = None) -> list[CodeHits]:
        """The hits of some queries, in parts; of each part a query's nearest `most`."""
        parts = []
        for found in self._found(queries, radius):
            hits = self._expanded(found, most)
            if len(hits):
                parts.append(hits)
        return parts

    def may_hit(self, queries: Asked, radius: int) -> bool:
        """See `IndexBackend.may_hit`. What was removed counts as well."""
        return bool(self._found(queries, radius, nearest_keys=True))

    def _found(self, asked: Asked, radius: int, *, nearest_keys: bool = False) -> list[Found]:
        """Rows within the radius, each distinct code's first, in parts as they fit into a room."""
        plan = self._plan(radius, nearest_keys=nearest_keys)
        if plan is None or self.tables is None:
            return list(self._by_scan(asked, radius))
        compared = np.zeros(asked.members.shape[1], dtype=np.int64)
        most, scratch, tables = int(len(self) * _COMPARED), kernels.scratch(), self.tables

        def ask(table: int, room: Found) -> tuple[int, int]:
            return kernels.search_tables(
                self._stored(), asked, table, radius, tables, plan, most, compared, scratch, room
            )

        parts = list(_parts(ask, len(plan.limits)))
        if (compared > most).any():
            parts = [part.take(compared[part.queries] <= most) for part in parts]
            crowded = np.flatnonzero(compared > most)
            left = kernels.asked(asked.codes.reshape(-1, self.words)[crowded])
            scanned = self._by_scan(left, radius)
            parts += [found._replace(queries=crowded[found.queries]) for found in scanned]
        return parts

    def _by_scan(self, asked: Asked, radius: int) -> Iterator[Found]:
        planes = kernels.planes()

        def ask(row: int, room: Found) -> tuple[int, int]:
            return kernels.scan(self._stored(), row, asked, self.words, radius, planes, room)

        return _parts(ask, len(self))

    def _stored(self) -> Stored:
        return Stored(self.codes, self.codes.view(np.uint16), self.repeated)

    def _plan(self, radius: int, *, nearest_keys: bool = False) -> Plan | None:
        """How to ask the tables; None where that takes longer than a scan, or there are none."""
        if self.tables is None:
            return None
        keys, parts = self.tables.starts.shape[1] - 1, 4 * self.words
        if _asked(radius, parts, keys) * (len(self) / keys + LANES) > _SCANNED * len(self):
            return None
        return _plan(radius, parts, keys, NEAREST if nearest_keys else KEY_BITS)

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
            live = ~_has(self.gone, rows)
            queries, rows, distances = queries[live], rows[live], distances[live]
            source = source[live]
        # Rows have the order of the ids.
        kept = None if most is None else nearest(queries, rows, distances, most)
        if kept is not None:
            queries, rows, distances = queries[kept], rows[kept], distances[kept]
            source = source[kept]
        codes = self.codes.view(np.uint8).reshape(len(self), 8 * self.words)[source]
        return CodeHits(queries, self.ids(rows), distances, codes)


def _parts(ask: Callable[[int, Found], tuple[int, int]], end: int) -> Iterator[Found]:
    """What is found from one place after another up to `end`. `ask(place, room)` fills the room,
    and answers the next place and how many hits there are before it; at the same place again there
    was no room."""
    room, done = kernels.room(_ROOM), 0
    while done < end:
        after, count = ask(done, room)
        if count:
            yield room.take(np.arange(count))
        if after == done:
            room = kernels.room(8 * len(room.rows))
        done = after


@dataclass(frozen=True, slots=True, eq=False)
class Filing:
    """How codes are filed: see `Segment`."""

    repeated: Bits
    heads: NDArray[np.int32]
    repeats: NDArray[np.int32]
    tables: Tables


def build_segment(codes: Codes, ids: Ints) -> Segment:
    """A segment of (n, bits/8) codes under (n,) distinct ids, n > 0."""
    n, words = len(ids), codes.shape[1] // 8
    if not bool((ids[1:] > ids[:-1]).all()):
        order = np.argsort(ids)
        codes, ids = codes[order], ids[order]
    flat = _aligned(n * words)
    flat.view(np.uint8)[:] = codes.reshape(-1)
    filing = file(_frozen(flat), words) if n >= FILED else None
    return _segment(_frozen(flat), words, int(ids[0]), _offsets(ids), filing)


def mapped_segment(codes: Words, words: int, first: int, filing: Filing | None) -> Segment:
    """A segment of (n * words,) mapped codes under the ids from `first` on, filed already; without
    `filing` it is scanned."""
    return replace(_segment(codes, words, first, None, filing), mapped=True)


def _segment(
    codes: Words, words: int, first: int, offsets: NDArray[np.uint32] | Ints | None,
    filing: Filing | None,
) -> Segment:  # fmt: skip
    n = len(codes) // words
    none = _frozen(np.zeros(n // 8 + 1, dtype=np.uint8))
    return Segment(
        words=words,
        codes=codes,
        first=first,
        offsets=offsets,
        gone=none,
        count=n,
        repeated=none if filing is None else filing.repeated,
        heads=NOT_FILED.heads if filing is None else filing.heads,
        repeats=NOT_FILED.repeats if filing is None else filing.repeats,
        tables=None if filing is None else filing.tables,
    )


def file(codes: Words, words: int) -> Filing:
    """File (n * words,) codes, whose memory is read-only."""
    n, parts = len(codes) // words, 4 * words
    heads, repeats = _repeats(codes.reshape(n, words))
    repeated = np.zeros(n // 8 + 1, dtype=np.uint8)
    np.bitwise_or.at(repeated, repeats >> 3, (1 << (repeats & 7)).astype(np.uint8))
    entries = n - len(repeats)
    # Ten entries a key or more: with fewer a key takes more memory than its entries are worth, and
    # with more than LANES, which are compared at once, it is read in two steps.
    key_bits = min(max((entries // _A_KEY).bit_length() - 1, 1), KEY_BITS)
    tables = Tables(
        np.empty((parts, (1 << key_bits) + 1), dtype=np.uint32),
        np.empty((parts, entries + LANES), dtype=np.uint16),
        np.empty((parts, 3 * entries), dtype=np.uint8),
    )
    places = np.empty(1 << key_bits, dtype=np.int64)
    stored = Stored(codes, codes.view(np.uint16), _frozen(repeated))
    kernels.fill_tables(stored, tables, places)
    for array in tables:
        _frozen(array)
    return Filing(repeated, _frozen(heads), _frozen(repeats), tables)


def _repeats(words: Words) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Rows of (n, words) codes that repeat an earlier row's code: that row, which rises, and they.

    Equal codes have equal keys and so stand together in the order of the keys. Where different
    codes share a key, a repeated code may be missed: it is then found in its own right.
    """
    mixed = (words * np.resize(_MIX, words.shape[1])).sum(axis=1, dtype=np.uint64)
    order = np.argsort(mixed, kind="stable").astype(np.int32)
    mixed = mixed[order]
    at = np.flatnonzero(mixed[1:] == mixed[:-1]) + 1
    at = at[(words[order[at]] == words[order[at - 1]]).all(axis=1)]
    # the first of a run of places that follow on one another comes after the run's head
    begins = np.flatnonzero(np.diff(at, prepend=-2) != 1)
    heads = np.repeat(order[at[begins] - 1], np.diff(begins, append=len(at)))
    by_head = np.argsort(heads, kind="stable")
    return heads[by_head], order[at][by_head]


def _offsets(ids: Ints) -> NDArray[np.uint32] | Ints | None:
    """Rising ids, counted from the first one; None where they follow on one another."""
    if int(ids[-1]) - int(ids[0]) == len(ids) - 1:
        return None
    offsets = ids - ids[0]
    if int(offsets[-1]) < 1 << 32:
        return np.asarray(offsets, dtype=np.uint32)
    return np.asarray(offsets, dtype=np.int64)


def _frozen(array: _Array) -> _Array:
    """The same array, read-only from now on."""
    array.flags.writeable = False
    return array


def _aligned(words: int) -> Words:
    room = np.empty(words + _LINE // 8, dtype=np.uint64)
    begin = -(room.ctypes.data // 8) % (_LINE // 8)
    return room[begin : begin + words]


def _has(bits: Bits, rows: Ints) -> NDArray[np.bool_]:
    return np.asarray(bits[rows >> 3] >> (rows & 7).astype(np.uint8) & 1, dtype=np.bool_)


def _reach(radius: int, parts: int) -> tuple[list[int], list[int]]:
    """For each table `Plan.limits` and `Plan.radii`.

    Of m pairs of parts, with r = m * a + e, the first e + 1 are searched within a bits and the
    others within a - 1: a code that were farther in each would be at least r + 1 bits away. In the
    same way a pair within a bits has its first part within a // 2, or its second part within
    (a - 1) // 2.
    """
    pairs = parts // 2
    limits = [radius // pairs - (pair > radius % pairs) for pair in range(pairs)]
    radii = [(limit - second) // 2 for limit in limits for second in (0, 1)]
    return [limit for limit in limits for _ in (0, 1)], radii


@functools.cache
def _asked(radius: int, parts: int, keys: int) -> int:
    """How many keys a query asks for, of `keys` in each table."""
    bits = keys.bit_length() - 1
    radii = _reach(radius, parts)[1]
    return sum(math.comb(bits, apart) for r in radii for apart in range(r + 1))


@functools.lru_cache(maxsize=64)
def _plan(radius: int, parts: int, keys: int, farthest: int) -> Plan:
    """`farthest`: bits of a key beyond which none is asked for, though codes be missed."""
    limits, radii = _reach(radius, parts)
    radii = [min(r, farthest) for r in radii]
    every = np.arange(keys, dtype=np.int64)
    # In the order of the keys: neighbours share cache lines.
    masks = {r: every[np.bitwise_count(every) <= r] for r in sorted(set(radii))}
    lengths = [len(m) for m in masks.values()]
    begins = dict(zip(masks, np.cumsum([0, *lengths]).tolist(), strict=False))
    return Plan(
        np.array(limits, dtype=np.int64),
        np.array(radii, dtype=np.int64),
        np.concatenate(list(masks.values())).astype(np.uint16),
        np.bitwise_count(np.concatenate(list(masks.values()))).astype(np.int64),
        np.array([begins[r] for r in radii], dtype=np.int64),
        np.array([begins[r] + len(masks[r]) for r in radii], dtype=np.int64),
    )


NOT_FILED = Filing(
    _frozen(np.zeros(1, dtype=np.uint8)),
    _frozen(np.empty(0, dtype=np.int32)),
    _frozen(np.empty(0, dtype=np.int32)),
    Tables(np.empty((0, 0), np.uint32), np.empty((0, 0), np.uint16), np.empty((0, 0), np.uint8)),
)
"""No codes filed."""
