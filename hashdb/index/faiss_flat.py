"""Exact range search with FAISS's Hamming kernel over immutable segments.

FAISS's index classes are passed over on purpose: `add` beside a search crashes, `remove_ids` of an
id-mapped index answers with wrong ids, and `IndexBinaryMultiHash` loses all entries of a full
bucket on reload (docs/decisions/0005). Its scan kernel, `faiss.hamming_range_search`, has none of
these faults: it takes plain arrays and keeps no state.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray

from hashdb.index.checks import (
    check_bits,
    check_codes,
    check_entries,
    check_ids,
    check_radius,
    join_hits,
)
from hashdb.index.entries import OwnCopy, in_order, joined, nothing
from hashdb.model import Codes, Ints
from hashdb.placings import sorted_bits
from hashdb.ports import CodeHits, nearest

_BLOCK = 1 << 15  # codes scanned at once: 1 MB of 256-bit codes stays in the L2 cache
_QUERIES = 128  # queries scanned at once: with _BLOCK bounds what FAISS allocates to 50 MB
_MERGE = 1 << 14  # segments up to this many entries may be merged with a newcomer
_DEAD = 0.25  # share of removed entries above which a segment is built anew

# Odd 64-bit constants (xxHash's primes) that spread the words of a code over one sort key.
_MIX = np.array(
    [0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63],
    dtype=np.uint64,
)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Entries that never change; removing some makes a new segment that shares all but `live`.

    Each distinct code is held once, in `codes` (d, bits/8) uint8. The entries of code `c` are the
    rows `rows[starts[c]:starts[c + 1]]`; a row is a place in `ids` (n,) int64, which rise.
    `code_of` (n,): each row's code. `live` (n,) bool; `count`: how many rows are live.
    """

    codes: Codes
    starts: Ints
    rows: NDArray[np.int32]
    code_of: NDArray[np.int32]
    ids: Ints
    live: NDArray[np.bool_]
    count: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def span(self) -> tuple[int, int]:
        return int(self.ids[0]), int(self.ids[-1])

    def find(self, ids: Ints) -> Ints:
        """The live rows of those of `ids` that are here."""
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.asarray(at[(self.ids[at] == ids) & self.live[at]], dtype=np.int64)

    def without(self, rows: Ints) -> Segment:
        """The same segment with some live rows removed."""
        live = self.live.copy()
        live[rows] = False
        return replace(self, live=live, count=int(np.count_nonzero(live)))

    def entries(self) -> tuple[Codes, Ints]:
        """The live codes and ids, in the order of the ids."""
        if self.count == len(self.ids):
            return self.codes[self.code_of], self.ids
        return self.codes[self.code_of[self.live]], self.ids[self.live]

    def search(self, queries: Codes, radius: int, most: int | None) -> list[CodeHits]:
        """The hits of at most `_QUERIES` queries, in parts; of each part the nearest `most`."""
        parts = []
        step = max(_BLOCK, _BLOCK * _QUERIES // len(queries))
        for first in range(0, len(self.codes), step):
            found, codes, distances = _scan(queries, self.codes[first : first + step], radius)
            if len(codes):
                parts.append(self._expand(found, codes + first, distances, most))
        return parts

    def _expand(
        self, found: Ints, codes: Ints, distances: NDArray[np.int16], most: int | None
    ) -> CodeHits:
        """One hit for each live entry of the codes that were found."""
        if len(self.codes) < len(self.ids):
            times = self.starts[codes + 1] - self.starts[codes]
            before = np.cumsum(times) - times
            places = np.repeat(self.starts[codes] - before, times) + np.arange(times.sum())
            found, distances = np.repeat(found, times), np.repeat(distances, times)
        else:
            places = codes
        rows = self.rows[places]
        if self.count < len(self.ids):
            live = self.live[rows]
            found, rows, distances = found[live], rows[live], distances[live]
        kept = None if most is None else nearest(found, self.ids[rows], distances, most)
        if kept is not None:
            found, rows, distances = found[kept], rows[kept], distances[kept]
        return CodeHits(found, self.ids[rows], distances, self.codes[self.code_of[rows]])


def build_segment(codes: Codes, ids: Ints) -> Segment:
    """A segment of (n, bits/8) codes under (n,) distinct ids, n > 0."""
    if not bool((ids[1:] > ids[:-1]).all()):
        order = np.argsort(ids)
        codes, ids = codes[order], ids[order]
    words = codes.view(np.uint64)
    keys = (words * np.resize(_MIX, words.shape[1])).sum(axis=1, dtype=np.uint64)
    rows = np.argsort(keys, kind="stable")
    sorted_words = words[rows]
    # Equal codes have equal keys and so stand together. Where different codes share a key, a code
    # may be held twice: the answers stay the same.
    first = np.ones(len(ids), dtype=np.bool_)
    first[1:] = (sorted_words[1:] != sorted_words[:-1]).any(axis=1)
    code_of = np.empty(len(ids), dtype=np.int32)
    code_of[rows] = np.cumsum(first) - 1
    kept = ids.copy()
    kept.flags.writeable = False  # `entries` gives it away
    return Segment(
        codes=np.ascontiguousarray(codes[rows[first]]),
        starts=np.append(np.flatnonzero(first), len(ids)).astype(np.int64),
        rows=rows.astype(np.int32),
        code_of=code_of,
        ids=kept,
        live=np.ones(len(ids), dtype=np.bool_),
        count=len(ids),
    )


class FaissIndex(OwnCopy):
    """Exact Hamming range search over codes of `bits` bits; an `IndexBackend`.

    The index is one tuple of segments. `add` and `remove` make a new tuple and put it in the old
    one's place in one assignment, so any number of threads may search beside them. `add` merges
    its codes with the small segments that are not much larger than itself, as log-structured
    merge trees do (O'Neil et al., "The Log-Structured Merge-Tree", 1996): one code is added in
    well under a millisecond at any size, and n codes lie in at most n / 16,384 + 15 segments.

    `threads`: OpenMP threads of one search. With the default, 1, OpenMP starts no thread pool, so
    the process may `fork` after a search. With more, a child that is forked after the first search
    hangs in its own first search: fork first, then search. Many searches at once, each in a thread
    of the caller's, use all cores either way, for the scan runs without Python's global lock.
    """

    def __init__(self, bits: int, *, threads: int = 1) -> None:
        if threads < 1:
            raise ValueError(f"{threads} threads")
        self._bits = check_bits(bits)
        self._threads = threads
        self._write = threading.Lock()
        self._segments: tuple[Segment, ...] = ()

    @property
    def bits(self) -> int:
        return self._bits

    def __len__(self) -> int:
        return sum(s.count for s in self._segments)

    def add(self, codes: Codes, ids: Ints) -> None:
        """As `IndexBackend.add`; `ValueError` where an id is there already."""
        codes, ids = check_entries(codes, ids, self._bits)
        if not len(ids):
            return
        with self._write:
            segments = list(self._segments)
            if any(len(s.find(ids)) for s in segments):
                raise ValueError("an id is in the index already")
            entries = [(codes, ids)]
            size = len(ids)
            while segments and len(segments[-1]) <= min(_MERGE, 2 * size):
                entries.append(segments.pop().entries())
                size = sum(len(i) for _, i in entries)
            self._segments = (*segments, _merged(entries))

    def remove(self, ids: Ints) -> None:
        """As `IndexBackend.remove`."""
        ids = np.unique(check_ids(ids))
        if not len(ids):
            return
        with self._write:
            left = [_without(s, ids) for s in self._segments]
            # Large ones first, so that a segment that has shrunk can be merged again.
            left = sorted((s for s in left if s.count), key=len, reverse=True)
            self._segments = tuple(left)

    def search(self, codes: Codes, radius: int, most: int | None = None) -> CodeHits:
        """As `IndexBackend.search`. Beside the hits themselves (18 bytes and the code each) it
        takes at most some 100 MB, however many codes lie within the radius."""
        codes = check_codes(codes, self._bits)
        radius = min(check_radius(radius), self._bits)
        segments = self._segments
        faiss.omp_set_num_threads(self._threads)  # holds for the calling thread only
        parts = []
        for first in range(0, len(codes), _QUERIES):
            batch = codes[first : first + _QUERIES]
            for segment in segments:
                for hits in segment.search(batch, radius, most):
                    parts.append(replace(hits, queries=hits.queries + first))
        return join_hits(parts, self._bits)

    def may_hit(self, codes: Codes, radius: int) -> bool:
        """As `IndexBackend.may_hit`."""
        return True

    def arrays(self) -> tuple[Codes, Ints]:
        """All codes and ids, in the order of the ids."""
        segments = self._segments
        return joined(segments) if segments else nothing(self._bits)

    def parts(self) -> tuple[int, Iterator[tuple[Codes, Ints]]]:
        """As `IndexBackend.parts`."""
        segments = self._segments
        parts = ((sorted_bits(codes), ids) for codes, ids in in_order(segments))
        return sum(s.count for s in segments), parts


def _merged(entries: list[tuple[Codes, Ints]]) -> Segment:
    if len(entries) == 1:
        return build_segment(*entries[0])
    codes = np.concatenate([c for c, _ in entries])
    return build_segment(codes, np.concatenate([i for _, i in entries]))


def _without(segment: Segment, ids: Ints) -> Segment:
    """The segment without the (distinct) ids, built anew where much of it is gone."""
    rows = segment.find(ids)
    if not len(rows):
        return segment
    left = segment.without(rows)
    if left.count and left.count < (1 - _DEAD) * len(left):
        return build_segment(*left.entries())
    return left


def _scan(queries: Codes, codes: Codes, radius: int) -> tuple[Ints, Ints, NDArray[np.int16]]:
    """Pairs (query row, code row, distance) within `radius` bits, inclusive.

    FAISS's range search is strict: it answers with what is nearer than the radius it is given.
    """
    result = faiss.RangeSearchResult(len(queries))
    faiss.hamming_range_search(  # type: ignore[attr-defined]
        faiss.swig_ptr(queries),
        faiss.swig_ptr(codes),
        len(queries),
        len(codes),
        radius + 1,
        codes.shape[1],
        result,
    )
    limits = faiss.rev_swig_ptr(result.lims, len(queries) + 1).astype(np.int64)
    total = int(limits[-1])
    if not total:
        none = np.empty(0, dtype=np.int64)
        return none, none, np.empty(0, dtype=np.int16)
    found = np.repeat(np.arange(len(queries), dtype=np.int64), np.diff(limits))
    labels = faiss.rev_swig_ptr(result.labels, total).copy()
    distances = faiss.rev_swig_ptr(result.distances, total).astype(np.int16)
    return found, labels, distances
