"""Exact Hamming range search for large indices, by compiled loops. Needs numba (the extra `fast`).

An index is segments that never change, as in `hashdb.index.faiss_flat`; how one is searched, see
`hashdb.index.hamming_segments`.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

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
from hashdb.index.entries import in_order, joined, nothing
from hashdb.index.hamming_files import packed, unpacked
from hashdb.index.hamming_filing import FILED, MOST
from hashdb.index.hamming_segments import Segment, Slice, build_segment
from hashdb.index.hamming_tables import asked
from hashdb.model import Codes, Ints
from hashdb.placings import natural_bits, sorted_bits
from hashdb.ports import CodeHits, Piece

log = logging.getLogger(__name__)

_ALIKE = 4  # segments of about one size (within this factor) that are merged into one
_DEAD = 0.25  # share of removed codes above which a segment is built anew


class HammingIndex:
    """Exact Hamming range search over codes of `bits` bits; an `IndexBackend`.

    One tuple of segments is replaced in one assignment, so any number of threads may search beside
    `add` and `remove`. `add` merges its codes with small segments at once; large ones are merged
    by a thread of the index's own (four of about one size into one, as log-structured merge trees
    do), so that neither an addition nor a search waits for it. Segments hold the bits of PDQ codes
    in an order of their own: see `hashdb.placings`.

    The first index of a process compiles the loops, or reads them from numba's cache.
    """

    def __init__(self, bits: int) -> None:
        self._bits = check_bits(bits)
        self._write = threading.Lock()
        self._segments: tuple[Segment, ...] = ()
        self._merger: threading.Thread | None = None
        warm_up()

    @property
    def bits(self) -> int:
        return self._bits

    @property
    def nbytes(self) -> int:
        """Bytes of all that is held."""
        return sum(s.nbytes for s in self._segments)

    def __len__(self) -> int:
        return sum(s.count for s in self._segments)

    def add(self, codes: Codes, ids: Ints) -> None:
        """As `IndexBackend.add`; `ValueError` where an id is there already."""
        codes, ids = check_entries(codes, ids, self._bits)
        if not len(ids):
            return
        codes = sorted_bits(codes)
        with self._write:
            if any(len(s.find(ids)) for s in self._segments):
                raise ValueError("an id is in the index already")
            segments, entries, size = list(self._segments), [(codes, ids)], len(ids)
            while segments and len(segments[-1]) < min(FILED, 2 * size):
                entries.append(segments.pop().entries())
                size = sum(len(i) for _, i in entries)
            self._segments = (*segments, *_built(entries))
            self._merge_later()

    def remove(self, ids: Ints) -> None:
        """As `IndexBackend.remove`."""
        ids = np.unique(check_ids(ids))
        if not len(ids):
            return
        with self._write:
            left = [_without(s, ids) for s in self._segments]
            # Large ones first, so that a segment that has shrunk can be merged again.
            self._segments = tuple(sorted((s for s in left if s.count), key=len, reverse=True))
            self._merge_later()

    def search(self, codes: Codes, radius: int, most: int | None = None) -> CodeHits:
        """As `IndexBackend.search`. Beside the hits themselves (18 bytes and the code each) it
        takes a few MB."""
        queries = sorted_bits(check_codes(codes, self._bits))
        radius = min(check_radius(radius), self._bits)
        if not len(queries):
            return join_hits([], self._bits)
        words = asked(queries.view(np.uint64))
        parts = [hits for s in self._segments for hits in s.search(words, radius, most)]
        joined = join_hits(parts, self._bits)
        return replace(joined, codes=natural_bits(joined.codes))

    def may_hit(self, codes: Codes, radius: int) -> bool:
        """As `IndexBackend.may_hit`: by each table's nearest keys alone."""
        queries = sorted_bits(check_codes(codes, self._bits))
        radius = min(check_radius(radius), self._bits)
        if not len(queries):
            return False
        words = asked(queries.view(np.uint64))
        return any(s.may_hit(words, radius) for s in self._segments)

    def arrays(self) -> tuple[Codes, Ints]:
        """All codes and ids, in the order of the ids."""
        segments = self._segments
        if not segments:
            return nothing(self._bits)
        codes, ids = joined(_slices(segments))
        return natural_bits(codes), ids

    def parts(self) -> tuple[int, Iterator[tuple[Codes, Ints]]]:
        """As `IndexBackend.parts`."""
        segments = self._segments
        return sum(s.count for s in segments), in_order(_slices(segments))

    @property
    def shares(self) -> bool:
        return True

    def tables(self, codes: Codes) -> Iterator[Piece]:
        """As `IndexBackend.tables`."""
        return packed(check_codes(codes, self._bits))

    def load(self, codes: Codes, tables: Mapping[str, NDArray[Any]]) -> None:
        """As `IndexBackend.load`. With tables of its own the arrays are kept: they must not be
        written to."""
        segments = unpacked(check_codes(codes, self._bits), tables)
        if segments is None:
            self.add(natural_bits(codes), np.arange(len(codes), dtype=np.int64))
        else:
            self._segments = tuple(segments)

    def wait(self) -> None:
        """Until nothing is being merged."""
        merger = self._merger
        if merger is not None:
            merger.join()

    def _merge_later(self) -> None:
        """Start the thread that merges, if there is something to merge; the lock is held."""
        idle = self._merger is None or not self._merger.is_alive()
        if idle and _alike(self._segments):
            self._merger = threading.Thread(target=self._merge, name="merge", daemon=True)
            self._merger.start()

    def _merge(self) -> None:
        try:
            while True:
                with self._write:
                    old = _alike(self._segments)
                    if not old:
                        self._merger = None
                        return
                new = _built([s.entries() for s in old])  # searches and changes go on beside it
                with self._write:
                    self._replace(old, new)
        except (
            Exception
        ):  # nothing is lost: the old segments stand, and the next change tries again
            log.exception("segments of the index could not be merged")

    def _replace(self, old: Sequence[Segment], new: Sequence[Segment]) -> None:
        """Put the new segments in the old ones' place, without what was removed meanwhile."""
        now = {id(s.codes): s for s in self._segments}
        gone = [np.empty(0, dtype=np.int64)]
        for before in old:
            after = now.pop(id(before.codes), None)
            rows = before.live()
            if after is not None:
                rows = np.setdiff1d(rows, after.live(), assume_unique=True)
            gone.append(before.ids(rows))
        removed = np.concatenate(gone)
        left = [*(_without(s, removed) for s in new), *now.values()]
        self._segments = tuple(sorted((s for s in left if s.count), key=len, reverse=True))


def _slices(segments: Sequence[Segment]) -> list[Slice]:
    return [part for segment in segments for part in segment.slices()]


def _built(entries: Sequence[tuple[Codes, Ints]]) -> list[Segment]:
    """Codes and ids as one segment, or as few as can be."""
    codes, ids = entries[0] if len(entries) == 1 else _joined(entries)
    return [build_segment(codes[i : i + MOST], ids[i : i + MOST]) for i in range(0, len(ids), MOST)]


def _joined(entries: Sequence[tuple[Codes, Ints]]) -> tuple[Codes, Ints]:
    return np.concatenate([c for c, _ in entries]), np.concatenate([i for _, i in entries])


def _without(segment: Segment, ids: Ints) -> Segment:
    rows = segment.find(ids)
    return segment.without(rows) if len(rows) else segment


def _alike(segments: Sequence[Segment]) -> list[Segment]:
    """What is to be merged next: the smallest of four that are about as large, or one segment much
    of which is gone; nothing where all is well. Small segments are `add`'s to merge, mapped ones
    the next snapshot's."""
    sizes: dict[int, list[Segment]] = {}
    for segment in segments:
        if len(segment) >= FILED and not segment.mapped:
            if segment.count < (1 - _DEAD) * len(segment):
                return [segment]
            sizes.setdefault((len(segment) // FILED).bit_length() // 2, []).append(segment)
    for size in sorted(sizes):
        some = sizes[size]
        if len(some) >= _ALIKE and sum(len(s) for s in some) <= MOST:
            return some
    return []


@functools.cache
def warm_up() -> None:
    """Compile the loops, or read them from numba's cache: no search shall wait for that."""
    codes = np.random.default_rng(0).integers(0, 256, (FILED, 8), dtype=np.uint8)
    queries = asked(codes[:1].view(np.uint64))
    segment = build_segment(codes, np.arange(FILED))
    for searched in (segment, replace(segment, tables=None)):
        searched.search(queries, 0)
