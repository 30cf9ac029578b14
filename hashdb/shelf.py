"""The codes of one signal type: an engine that finds ids, and what each id stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.format import Room, Writer
from hashdb.model import Codes, Fingerprint, Floats, Ints
from hashdb.ports import CodeHits, IndexBackend, nearest

_QUERIES = 512  # searched at once where hits are cut: all placings of an upload of 50 frames
_ROWS = 1 << 22  # packed at once
_COLUMNS = ("offsets", "spans", "firsts", "references", "tracks")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One row a code. `codes` (n, bits/8) uint8; `references` (n,) int32: the reference's ordinal;
    `offsets` (n,) float64, `spans` (n,) float32, seconds of the reference (float32 tells a
    thousandth for hours); `tracks` (n,) int32."""

    codes: Codes
    references: NDArray[np.int32]
    offsets: Floats
    spans: NDArray[np.float32]
    tracks: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Rows:
        return Rows(*(getattr(self, f.name)[rows] for f in fields(self)))


def rows_of(ordinal: int, fingerprint: Fingerprint) -> Rows:
    """The rows of one fingerprint of the reference with that ordinal."""
    n = len(fingerprint)
    return Rows(
        fingerprint.codes,
        np.full(n, ordinal, dtype=np.int32),
        fingerprint.offsets,
        fingerprint.spans.astype(np.float32),
        np.full(n, fingerprint.track, dtype=np.int32),
    )


def no_rows(bits: int, n: int = 0) -> Rows:
    """`n` rows with nothing in them yet."""
    return Rows(
        np.empty((n, bits // 8), dtype=np.uint8),
        np.empty(n, dtype=np.int32),
        np.empty(n, dtype=np.float64),
        np.empty(n, dtype=np.float32),
        np.empty(n, dtype=np.int32),
    )


def join_rows(parts: Sequence[Rows], bits: int) -> Rows:
    """The parts' rows, one after the other."""
    if not parts:
        return no_rows(bits)
    columns = (np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Rows))
    return Rows(*columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """What the ids from `start` on stand for. Of the id start + i: `offsets[i]`, `spans[i]`. Ids
    follow on one another in runs of one reference's track: `firsts` (r,) int64, the lowest id of
    each run; `references`, `tracks` (r,) int32. `firsts` and `references` rise.

    There may be room at the end: runs there have the greatest `firsts` of all.
    """

    start: int
    offsets: Floats
    spans: NDArray[np.float32]
    firsts: Ints
    references: NDArray[np.int32]
    tracks: NDArray[np.int32]

    def rows(self, ids: Ints, codes: Codes) -> Rows:
        """The rows of these ids, whose codes are given."""
        run = np.searchsorted(self.firsts, ids, side="right") - 1
        at = ids - self.start
        return Rows(codes, self.references[run], self.offsets[at], self.spans[at], self.tracks[run])

    def ids(self, ordinals: NDArray[np.int32], runs: int, end: int) -> list[Ints]:
        """The ids of these references; so many runs are here, and ids below `end`."""
        references = self.references[:runs]
        low = np.searchsorted(references, ordinals, side="left").tolist()
        high = np.searchsorted(references, ordinals, side="right").tolist()
        return [
            np.arange(self.firsts[a], self.firsts[b] if b < runs else end, dtype=np.int64)
            for a, b in zip(low, high, strict=True)
            if a < b
        ]


def _room(start: int, rows: int, runs: int, old: _Columns | None = None) -> _Columns:
    """Room for so many rows and runs, with the `old` ones at the beginning."""
    new = _Columns(
        start,
        np.empty(rows),
        np.empty(rows, dtype=np.float32),
        np.full(runs, np.iinfo(np.int64).max),
        np.empty(runs, dtype=np.int32),
        np.empty(runs, dtype=np.int32),
    )
    for name in _COLUMNS if old is not None else ():
        kept = getattr(old, name)
        getattr(new, name)[: len(kept)] = kept
    return new


class Shelf:
    """The codes of one signal type, in an engine, and the rest of their rows. A row's number is its
    id in the engine, and is not used again. Rows of a snapshot stay in it, as maps.

    One writer at a time; searches may run beside it, because what ids stand for is written before
    the engine learns of them, and is never changed after.
    """

    def __init__(self, backend: IndexBackend) -> None:
        self.backend = backend
        self._loaded = self._held = _room(0, 0, 0)
        self._used = self._runs = 0  # the next id; runs held
        self._hidden = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        return len(self.backend)

    @property
    def added(self) -> int:
        """Rows that came since the snapshot was loaded."""
        return self._used - self._held.start

    def add(self, rows: Rows) -> None:
        """Add rows of references, each reference's in one piece, of which none is here yet: their
        ordinals rise, from one call to the next as well, or it is a `ValueError`."""
        if not len(rows):
            return
        last = [held.references[:runs][-1:] for held, runs in self._parts()]
        if (np.diff(np.concatenate([*last, rows.references])) < 0).any():
            raise ValueError("references out of order")
        first, self._used = self._used, self._used + len(rows)
        self._hold(rows, first)
        ids = np.arange(first, self._used, dtype=np.int64)
        self.backend.add(np.ascontiguousarray(rows.codes), ids)

    def remove(self, ordinals: Iterable[int]) -> None:
        """Take the rows of these references out."""
        wanted = np.unique(np.fromiter(ordinals, dtype=np.int32))
        ends = (self._held.start, self._used)
        parts = zip(self._parts(), ends, strict=True)
        ids = [some for (held, runs), end in parts for some in held.ids(wanted, runs, end)]
        if ids:
            self.backend.remove(np.concatenate(ids))

    def hide(self, ordinals: Iterable[int]) -> None:
        """Let searches for the nearest pass over these references, and over no others."""
        self._hidden = np.unique(np.fromiter(ordinals, dtype=np.int32))

    def search(
        self, codes: Codes, radius: int, most: int | None = None
    ) -> tuple[CodeHits, Rows, Ints]:
        """The hits, the row of each, and the queries that had more than `most` hits, of which then
        the nearest `most` are given (of equally near ones the oldest). `most` bounds the memory:
        queries are searched a few at a time, and cut before the next. Without it hidden references
        are given as well."""
        if most is None:
            hits = self.backend.search(codes, radius)
            return hits, self._rows(hits.ids, hits.codes), np.empty(0, dtype=np.int64)
        parts, crowded = [], []
        for first in range(0, max(1, len(codes)), _QUERIES):
            kept, cut = self._nearest(codes[first : first + _QUERIES], radius, most)
            parts.append(replace(kept, queries=kept.queries + first))
            crowded.append(cut + first)
        hits = _joined(parts)
        return hits, self._rows(hits.ids, hits.codes), np.concatenate(crowded)

    def _nearest(self, codes: Codes, radius: int, most: int) -> tuple[CodeHits, Ints]:
        """The nearest `most` hits of each query, of references that are not hidden, and the queries
        that had more."""
        found = self.backend.search(codes, radius, most + 1)
        counted = self._counted(found)
        if counted.all():
            return _nearest(found, most)
        full = np.flatnonzero(np.bincount(found.queries) > most)
        again = np.intersect1d(full, found.queries[~counted])
        parts = [found.take(counted & ~np.isin(found.queries, again))]
        for query in again.tolist():  # one at a time: it may have very many hits
            every = self.backend.search(codes[query : query + 1], radius)
            cut, _ = _nearest(every.take(self._counted(every)), most + 1)
            parts.append(replace(cut, queries=cut.queries + query))
        return _nearest(_joined(parts), most)

    def _counted(self, hits: CodeHits) -> NDArray[np.bool_]:
        """Which hits are of references that are not hidden."""
        if not len(self._hidden):
            return np.ones(len(hits), dtype=np.bool_)
        return ~np.isin(self._rows(hits.ids, hits.codes).references, self._hidden)

    def found(self) -> Rows:
        """What the engine can find: its codes, beside what their ids stand for."""
        codes, ids = self.backend.arrays()
        return self._rows(ids, codes)

    def packing(self) -> Packing:
        """What can be found now, to be written to a snapshot while changes go on."""
        count, parts = self.backend.parts()
        loaded, held = self._loaded, self._held

        def rows() -> Iterator[Rows]:
            for codes, ids in parts:
                for first in range(0, len(ids), _ROWS):
                    some = slice(first, first + _ROWS)
                    yield _rows_of(loaded, held, ids[some], codes[some])

        return Packing(self.backend, count, rows())

    def load(self, arrays: Mapping[str, NDArray[Any]], references: int) -> None:
        """Fill this shelf, which is empty, with what `Packing.write` wrote, of so many references.
        `BadSnapshot` where it does not fit together."""
        codes, width = arrays["codes"], self.backend.bits // 8
        model = _room(0, 0, 0)
        columns = [arrays[name] for name in _COLUMNS]
        wanted = [getattr(model, name).dtype for name in _COLUMNS]
        rows, runs = len(codes), len(arrays["firsts"])
        if [c.shape for c in columns] != [(rows,)] * 2 + [(runs,)] * 3:
            raise BadSnapshot(f"rows, spans or runs whose numbers differ from {rows} and {runs}")
        if [c.dtype for c in columns] != wanted or codes.dtype != np.uint8:
            raise BadSnapshot("rows of another dtype")
        if codes.shape != (rows, width) or (rows > 0) != (runs > 0):
            raise BadSnapshot(f"codes {codes.shape}")
        loaded = _Columns(0, *columns)
        if runs:
            firsts, ordinals = loaded.firsts, loaded.references
            if firsts[0] != 0 or firsts[-1] >= rows or (np.diff(firsts) <= 0).any():
                raise BadSnapshot("runs out of order")
            if ordinals[0] < 0 or ordinals[-1] >= references or (np.diff(ordinals) < 0).any():
                raise BadSnapshot("references out of order, or that are not named")
        self.backend.load(codes, {n: a for n, a in arrays.items() if n not in _COLUMNS})
        self._loaded, self._held, self._used = loaded, _room(rows, 0, 0), rows

    def _parts(self) -> tuple[tuple[_Columns, int], tuple[_Columns, int]]:
        """The columns, and how many runs are in them."""
        return (self._loaded, len(self._loaded.firsts)), (self._held, self._runs)

    def _rows(self, ids: Ints, codes: Codes) -> Rows:
        return _rows_of(self._loaded, self._held, ids, codes)

    def _hold(self, rows: Rows, first: int) -> None:
        """Write what the ids from `first` on stand for; into new arrays where there is no room:
        searches keep the old."""
        begins = _begins(rows.references, rows.tracks)
        run, self._runs = self._runs, self._runs + len(begins)
        start, used = self._held.start, self.added
        if used > len(self._held.offsets) or self._runs > len(self._held.firsts):
            room = [n + n // 8 + 64 for n in (used, self._runs)]
            self._held = _room(start, room[0], room[1], self._held)
        held = self._held
        held.offsets[first - start : used] = rows.offsets
        held.spans[first - start : used] = rows.spans
        held.references[run : self._runs] = rows.references[begins]
        held.tracks[run : self._runs] = rows.tracks[begins]
        held.firsts[run : self._runs] = begins + first  # last: a search may look beside this


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """A shelf's `count` rows as they stood once, in the order of their ids, to be written."""

    backend: IndexBackend
    count: int
    rows: Iterator[Rows]

    def write(self, out: Writer, kind: str, ordinals: NDArray[np.int32]) -> None:
        """Write all that `Shelf.load` wants, under the ids from 0 on. `ordinals[i]`: what stands in
        the file for the reference i."""
        width = self.backend.bits // 8
        codes = out.room(f"{kind}/codes", np.uint8, (self.count, width))
        offsets = out.room(f"{kind}/offsets", np.float64, (self.count,))
        spans = out.room(f"{kind}/spans", np.float32, (self.count,))
        firsts: list[NDArray[Any]] = [_INTS]
        references: list[NDArray[Any]] = [_INTS]
        tracks: list[NDArray[Any]] = [_INTS]
        last, done = (-1, -1), 0
        for rows in self.rows:
            codes.append(rows.codes)
            offsets.append(rows.offsets)
            spans.append(rows.spans)
            begins = _begins(rows.references, rows.tracks)
            if (rows.references[0], rows.tracks[0]) == last:
                begins = begins[1:]
            firsts.append(begins + done)
            references.append(ordinals[rows.references[begins]])
            tracks.append(rows.tracks[begins])
            last, done = (rows.references[-1], rows.tracks[-1]), done + len(rows)
        out.add(f"{kind}/firsts", np.concatenate(firsts))
        out.add(f"{kind}/references", np.concatenate(references).astype(np.int32))
        out.add(f"{kind}/tracks", np.concatenate(tracks).astype(np.int32))
        rooms: dict[str, Room] = {}
        for piece in self.backend.tables(codes.view()):
            name, shape = f"{kind}/{piece.name}", (piece.count, *piece.rows.shape[1:])
            room = rooms.get(name)
            if room is None:
                room = rooms[name] = out.room(name, piece.rows.dtype, shape)
            room.append(piece.rows)


_INTS = np.empty(0, dtype=np.int64)


def _begins(references: NDArray[np.int32], tracks: NDArray[np.int32]) -> Ints:
    """The first row of each run; there is at least one row."""
    changes = (np.diff(references) != 0) | (np.diff(tracks) != 0)
    return np.append(0, np.flatnonzero(changes) + 1)


def _rows_of(loaded: _Columns, held: _Columns, ids: Ints, codes: Codes) -> Rows:
    """The rows of these ids, those below `held.start` by `loaded`."""
    old = ids < held.start
    if not old.any():
        return held.rows(ids, codes)
    if old.all():
        return loaded.rows(ids, codes)
    rows = no_rows(8 * codes.shape[1], len(ids))
    for here, columns in ((old, loaded), (~old, held)):
        some = columns.rows(ids[here], codes[here])
        for column in fields(Rows):
            getattr(rows, column.name)[here] = getattr(some, column.name)
    return rows


def _joined(parts: Sequence[CodeHits]) -> CodeHits:
    return CodeHits(
        np.concatenate([p.queries for p in parts]),
        np.concatenate([p.ids for p in parts]),
        np.concatenate([p.distances for p in parts]),
        np.concatenate([p.codes for p in parts]),
    )


def _nearest(hits: CodeHits, most: int) -> tuple[CodeHits, Ints]:
    """The nearest `most` hits of each query, and the queries that had more."""
    crowded = np.flatnonzero(np.bincount(hits.queries) > most)
    kept = nearest(hits.queries, hits.ids, hits.distances, most)
    return (hits if kept is None else hits.take(kept)), crowded
