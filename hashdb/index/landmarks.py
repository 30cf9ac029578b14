"""An inverted index of landmarks: which references have a key, and at which of their moments.

The index is one tuple of sorted segments that never change, as in `hashdb.index.faiss_flat`: any
number of threads may search beside `add` and `remove`. numpy only.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.model import Ints, SoundPeaks

Keys = NDArray[np.uint32]
Moments = NDArray[np.uint32]

COMMON = 4e-6
"""A key with more than this share of all entries is looked at in part only,"""

COMMON_LEAST = 256
"""unless it has so few."""

FIRST = 32
"""Entries of each segment that are looked at of such a key: the same references' for all keys, so
that a sound of which the bank holds hundreds of versions is found in some, with all its votes."""

_MERGE = 1 << 22  # segments up to this many entries may be merged with a newcomer
_DEAD = 0.25  # share of removed entries above which a segment is built anew


@dataclass(frozen=True, slots=True, eq=False)
class LandmarkHits:
    """Entries with a key that was asked for.

    `queries` (k,) int64: row of the key in the search; `ordinals` (k,) int32: the reference's;
    `moments` (k,) uint32, as they were added.
    """

    queries: Ints
    ordinals: NDArray[np.int32]
    moments: Moments

    def __len__(self) -> int:
        return len(self.queries)


@dataclass(frozen=True, slots=True, eq=False)
class Skipped:
    """Entries of a segment that searches pass over: `rows` (g,) int64, rising; `before` (g,) int64:
    how many entries that count come before each."""

    rows: Ints
    before: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def ranks(self, rows: Ints) -> Ints:
        """How many entries that count come before each of these rows."""
        return np.asarray(rows - np.searchsorted(self.rows, rows))

    def rows_of(self, ranks: Ints) -> Ints:
        """The rows of the entries that count, before which so many others count."""
        return np.asarray(ranks + np.searchsorted(self.before, ranks, side="right"))


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Entries sorted by `keys` (n,) uint32; `ordinals` (n,) int32, `moments` (n,) uint32. `gone`:
    rows, rising, of those that were removed; `skipped`: these and those of hidden references."""

    keys: Keys
    ordinals: NDArray[np.int32]
    moments: Moments
    gone: Ints
    skipped: Skipped

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def count(self) -> int:
        """How many entries are left."""
        return len(self.keys) - len(self.gone)

    def without(self, ordinals: NDArray[np.int32]) -> Segment:
        """The same segment without these references; itself where it has none of them."""
        gone = np.union1d(self.gone, np.flatnonzero(np.isin(self.ordinals, ordinals)))
        if len(gone) == len(self.gone):
            return self
        left = replace(self, gone=gone)
        return _joined([left]) if left.count < (1 - _DEAD) * len(left) else left

    def hiding(self, ordinals: NDArray[np.int32]) -> Segment:
        """The same segment, of which searches pass over these references and what is gone."""
        hidden = np.flatnonzero(np.isin(self.ordinals, ordinals))
        return replace(self, skipped=_skipped(np.union1d(self.gone, hidden)))

    def left(self) -> tuple[Keys, NDArray[np.int32], Moments]:
        """The entries that are left, sorted by key."""
        if not len(self.gone):
            return self.keys, self.ordinals, self.moments
        held = np.ones(len(self), dtype=np.bool_)
        held[self.gone] = False
        return self.keys[held], self.ordinals[held], self.moments[held]


class LandmarkIndex:
    """Keys (uint32) to references (int32 ordinals) and their moments (uint32): 12 bytes an entry.

    A reference may be added in parts, and its ordinal may be used again once it was removed.
    `add` merges its entries with the segments that are not much larger, as log-structured merge
    trees do (O'Neil et al., 1996): every entry is moved O(log n) times.
    """

    def __init__(self) -> None:
        self._write = threading.Lock()
        self._segments: tuple[Segment, ...] = ()
        self._hidden = np.zeros(0, dtype=np.int32)

    def __len__(self) -> int:
        return sum(s.count for s in self._segments)

    @property
    def nbytes(self) -> int:
        """Bytes that the entries take."""
        return sum(s.keys.nbytes + s.ordinals.nbytes + s.moments.nbytes for s in self._segments)

    def add(self, ordinal: int, keys: Keys, moments: Moments) -> None:
        """One reference's (n,) keys and moments; a pair that stands there twice counts once."""
        if not 0 <= ordinal <= np.iinfo(np.int32).max:
            raise ValueError(f"the ordinal {ordinal} is no int32 from 0")
        if keys.shape != moments.shape or keys.ndim != 1:
            raise ValueError(f"{keys.shape} keys at {moments.shape} moments")
        if not len(keys):
            return
        new = _segment(ordinal, keys, moments)
        with self._write:
            segments = list(self._segments)
            merged, size = [new], len(new)
            while segments and len(segments[-1]) <= min(_MERGE, 2 * size):
                merged.append(segments.pop())
                size += len(merged[-1])
            joined = _joined(merged) if len(merged) > 1 else new
            self._segments = (*segments, joined.hiding(self._hidden))

    def remove(self, ordinals: Ints) -> None:
        """All entries of these references; those that are not there are passed over."""
        gone = np.unique(np.asarray(ordinals, dtype=np.int64)).astype(np.int32)
        if not len(gone):
            return
        with self._write:
            pairs = [(s, s.without(gone)) for s in self._segments]
            left = [new if new is old else new.hiding(self._hidden) for old, new in pairs]
            self._segments = tuple(sorted((s for s in left if s.count), key=len, reverse=True))

    def hide(self, ordinals: Ints) -> None:
        """Let searches pass over these references, and over no others."""
        with self._write:
            self._hidden = np.unique(np.asarray(ordinals, dtype=np.int64)).astype(np.int32)
            self._segments = tuple(s.hiding(self._hidden) for s in self._segments)

    def search(self, keys: Keys) -> LandmarkHits:
        """All entries that have one of the (n,) keys; of keys that more than the share `COMMON` of
        all entries have, the `FIRST` ones. In the order of the rows within each segment."""
        segments = self._segments
        spans = [_spans(s, keys) for s in segments]
        counts = sum((high - low for low, high in spans), np.zeros(len(keys), dtype=np.int64))
        cap = max(COMMON_LEAST, COMMON * sum(s.count for s in segments))
        whole = counts <= cap
        queries, ordinals, moments = [], [], []
        for segment, (low, high) in zip(segments, spans, strict=True):
            lengths = np.where(whole, high - low, np.minimum(high - low, FIRST))
            rows = np.repeat(np.arange(len(keys), dtype=np.int64), lengths)
            before = np.cumsum(lengths) - lengths
            ranks = np.repeat(low - before, lengths) + np.arange(len(rows))
            places = segment.skipped.rows_of(ranks)
            queries.append(rows)
            ordinals.append(segment.ordinals[places])
            moments.append(segment.moments[places])
        return LandmarkHits(
            np.concatenate([np.zeros(0, dtype=np.int64), *queries]),
            np.concatenate([np.zeros(0, dtype=np.int32), *ordinals]),
            np.concatenate([np.zeros(0, dtype=np.uint32), *moments]),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All entries, sorted by `keys`, with their `ordinals` and `moments`."""
        segments = self._segments
        one = _joined(list(segments)) if segments else _NOTHING
        return {"keys": one.keys, "ordinals": one.ordinals, "moments": one.moments}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill this index, which is empty, from `arrays()`. Raises `BadSnapshot`."""
        columns = {name: arrays[name] for name in ("keys", "ordinals", "moments")}
        count = len(columns["keys"])
        for name, have in columns.items():
            if have.dtype != getattr(_NOTHING, name).dtype or have.shape != (count,):
                raise BadSnapshot(f"landmarks: {name} {have.shape} {have.dtype}")
        keys, ordinals = columns["keys"], columns["ordinals"]
        if (keys[1:] < keys[:-1]).any() or (ordinals < 0).any():
            raise BadSnapshot("landmarks out of order")
        self._segments = (
            (Segment(keys, ordinals, columns["moments"], _NO_ROWS, _NONE),) if count else ()
        )


class SoundIndex:
    """A `hashdb.ports.LandmarkBackend`. One writer at a time; searches may run beside it.

    `landmarks`: a sound's keys and moments, (n,) uint32 each.
    """

    def __init__(self, landmarks: Callable[[SoundPeaks], tuple[Keys, Moments]]) -> None:
        self._landmarks = landmarks
        self._index = LandmarkIndex()
        self._held: dict[int, tuple[int, int, float]] = {}  # ordinal: peaks, landmarks, seconds
        self._hidden: frozenset[int] = frozenset()
        self._seconds = 0.0

    def __len__(self) -> int:
        return len(self._index)

    @property
    def seconds(self) -> float:
        return self._seconds

    def add(self, sounds: Iterable[tuple[int, SoundPeaks]]) -> None:
        """As `LandmarkBackend.add`."""
        tracks: dict[int, list[SoundPeaks]] = {}
        for ordinal, one in sounds:
            tracks.setdefault(ordinal, []).append(one)
        for ordinal, some in tracks.items():
            before = len(self._index)
            filed = [self._landmarks(one) for one in some]
            keys, moments = (np.concatenate(column) for column in zip(*filed, strict=True))
            self._index.add(ordinal, keys, moments)
            seconds = sum(one.seconds for one in some)
            count = len(self._index) - before
            self._held[ordinal] = (sum(len(one) for one in some), count, seconds)
            self._seconds += seconds

    def remove(self, ordinals: Iterable[int]) -> None:
        """As `LandmarkBackend.remove`."""
        gone = [o for o in ordinals if o in self._held]
        self._index.remove(np.array(gone, dtype=np.int64))
        for ordinal in gone:
            del self._held[ordinal]
        self._count_seconds()

    def hide(self, ordinals: Iterable[int]) -> None:
        """As `LandmarkBackend.hide`."""
        self._hidden = frozenset(ordinals)
        self._index.hide(np.array(sorted(self._hidden), dtype=np.int64))
        self._count_seconds()

    def _count_seconds(self) -> None:
        heard = (s for o, (_, _, s) in self._held.items() if o not in self._hidden)
        self._seconds = float(sum(heard))

    def search(self, keys: Keys) -> LandmarkHits:
        """As `LandmarkBackend.search`."""
        return self._index.search(keys)

    def peaks(self) -> dict[int, int]:
        """As `LandmarkBackend.peaks`."""
        found, counts = np.unique(self._index.arrays()["ordinals"], return_counts=True)
        have = dict(zip(found.tolist(), counts.tolist(), strict=True))
        return {
            ordinal: peaks if have.pop(ordinal, 0) == landmarks else -1
            for ordinal, (peaks, landmarks, _) in self._held.items()
        } | dict.fromkeys(have, -1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As `LandmarkBackend.arrays`."""
        held = sorted(self._held)
        rows = [self._held[ordinal] for ordinal in held]
        return self._index.arrays() | {
            "references": np.array(held, dtype=np.int32),
            "peaks": np.array([r[0] for r in rows], dtype=np.int64),
            "landmarks": np.array([r[1] for r in rows], dtype=np.int64),
            "seconds": np.array([r[2] for r in rows], dtype=np.float64),
        }

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """As `LandmarkBackend.load`."""
        columns = [arrays[name] for name in ("references", "peaks", "landmarks", "seconds")]
        wanted = (np.int32, np.int64, np.int64, np.float64)
        for have, dtype in zip(columns, wanted, strict=True):
            if have.dtype != dtype or have.shape != (len(columns[0]),):
                raise BadSnapshot(f"sounds: {have.shape} {have.dtype}")
        references, peaks, landmarks, seconds = (c.tolist() for c in columns)
        if not all(np.isfinite(columns[3])) or min(peaks + landmarks + seconds, default=0) < 0:
            raise BadSnapshot("sounds of impossible lengths")
        index = LandmarkIndex()
        index.load(arrays)
        self._index = index
        rows = zip(peaks, landmarks, seconds, strict=True)
        self._held = dict(zip(references, rows, strict=True))
        self._seconds = float(sum(seconds))


def _spans(segment: Segment, keys: Keys) -> tuple[Ints, Ints]:
    """From which rank to which each key's entries lie: see `Skipped.ranks`."""
    keys = np.asarray(keys, dtype=np.uint32)
    distinct, back = np.unique(keys, return_inverse=True)
    low = np.searchsorted(segment.keys, distinct, side="left")
    high = np.searchsorted(segment.keys, distinct, side="right")
    low, high = (segment.skipped.ranks(rows.astype(np.int64)) for rows in (low, high))
    return low[back], high[back]


def _skipped(rows: Ints) -> Skipped:
    return Skipped(rows, rows - np.arange(len(rows)))


def _segment(ordinal: int, keys: Keys, moments: Moments) -> Segment:
    """A new reference's entries."""
    both = (keys.astype(np.uint64) << np.uint64(32)) | moments.astype(np.uint64)
    both = np.unique(both)
    low = np.uint64(0xFFFF_FFFF)
    return Segment(
        (both >> np.uint64(32)).astype(np.uint32),
        np.full(len(both), ordinal, dtype=np.int32),
        (both & low).astype(np.uint32),
        _NO_ROWS,
        _NONE,
    )


def _joined(segments: list[Segment]) -> Segment:
    """One segment of all entries that are left."""
    parts = [s.left() for s in segments]
    keys, ordinals, moments = (np.concatenate(column) for column in zip(*parts, strict=True))
    if len(parts) > 1:
        order = np.argsort(keys, kind="stable")
        keys, ordinals, moments = keys[order], ordinals[order], moments[order]
    return Segment(keys, ordinals, moments, _NO_ROWS, _NONE)


_NO_ROWS: Ints = np.zeros(0, dtype=np.int64)
_NONE = _skipped(_NO_ROWS)
_NOTHING = Segment(
    np.zeros(0, dtype=np.uint32),
    np.zeros(0, dtype=np.int32),
    np.zeros(0, dtype=np.uint32),
    _NO_ROWS,
    _NONE,
)
