"""Which pictures of references share many local features with a query's picture.

Every 256-bit code is filed under several parts of itself, random bit positions each; codes that
are equal in any part are compared (locality-sensitive hashing by sampled bits: Indyk and Motwani,
STOC 1998; Norouzi et al., "Fast exact search in Hamming space with multi-index hashing", 2014). A
pair that is near votes for its picture, together with the turn and the change of size that it
implies, so that votes count only together with others of the same turn and size ("weak geometric
consistency": Jegou, Douze, Schmid, ECCV 2008). Letters and other common corners match everywhere,
but each with another turn and size.

Segments never change; one tuple of them is replaced in one assignment, as in `faiss_flat`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.model import Codes, Floats, Ints, LocalFeatures
from hashdb.ports import Nominee

PARTS = 14
FEWEST_BITS, MOST_BITS = 12, 22
MOST_IN_BUCKET = 200  # codes that are equal in a part; fuller buckets say nothing
RADIUS = 60
_SKETCH = 22  # bits of the first 64 that near codes differ in, at most (15 +- 3.4 at the radius)
_VOTES_WHOLE = 32  # bits up to which a pair counts in full; then less, down to none at twice that
_RARE = 8  # a feature that matches in so many references, or more, counts an eighth
_TURNS = _SIZES = 16  # bins of 22.5 degrees, and of two thirds of an octave
_MOST_PICTURES = 256  # of which the votes are counted bin by bin
_MERGE = 1 << 18  # features up to which segments are merged
_SEED = 2019

Places = NDArray[np.float32]
_POSITIONS = [
    np.sort(np.random.default_rng(_SEED + part).permutation(256)[:MOST_BITS])
    for part in range(PARTS)
]
_COLUMNS = ("codes", "places", "sizes", "counts", "offsets", "references")


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """Pictures of references, one after the other: `counts` (f,) features of each, `offsets` (f,)
    seconds, `references` (f,) ordinals, `sizes` (f, 2) pixels; `codes` (n, 32), `places` (n, 4)."""

    codes: Codes
    places: Places
    sizes: NDArray[np.uint16]
    counts: NDArray[np.int32]
    offsets: Floats
    references: NDArray[np.int32]

    def without(self, ordinals: Ints) -> Pictures:
        keep = ~np.isin(self.references, ordinals)
        rows = np.repeat(keep, self.counts)
        return Pictures(
            self.codes[rows],
            self.places[rows],
            self.sizes[keep],
            self.counts[keep],
            self.offsets[keep],
            self.references[keep],
        )


def pictures_of(ordinal: int, features: LocalFeatures) -> Pictures:
    """The pictures of one reference's track."""
    return Pictures(
        features.codes,
        features.places,
        features.sizes,
        np.diff(features.starts).astype(np.int32),
        features.offsets,
        np.full(len(features), ordinal, dtype=np.int32),
    )


def _joined(parts: Sequence[Pictures]) -> Pictures:
    return Pictures(*(np.concatenate([getattr(p, name) for p in parts]) for name in _COLUMNS))


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Pictures, filed. `words` (n, 4) uint64; `sketch` (n,): the first of each; `picture_of` (n,);
    `first` (f,): each picture's first row. For each part `starts` (2^bits + 1,) and `rows` (n,)."""

    pictures: Pictures
    words: NDArray[np.uint64]
    sketch: NDArray[np.uint64]
    picture_of: NDArray[np.int32]
    first: Ints
    bits: int
    starts: tuple[NDArray[np.int32], ...]
    rows: tuple[NDArray[np.int32], ...]
    gone: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.words)

    def near(self, codes: Codes) -> tuple[Ints, Ints, NDArray[np.int64]]:
        """(query row, row here, distance) of pairs within `RADIUS` that are equal in any part."""
        if not len(codes):
            none = np.empty(0, dtype=np.int64)
            return none, none, none
        queries = np.ascontiguousarray(codes).view(np.uint64)
        bits = np.unpackbits(codes, axis=1)
        found: list[Ints] = []
        bits_apart: list[NDArray[np.int64]] = []
        for part in range(PARTS):
            keys = _keys(bits, part, self.bits)
            start, stop = self.starts[part][keys], self.starts[part][keys + 1]
            count = (stop - start).astype(np.int64)
            count[count > MOST_IN_BUCKET] = 0
            query = np.repeat(np.arange(len(codes)), count)
            place = np.arange(len(query)) + np.repeat(start - (np.cumsum(count) - count), count)
            row = self.rows[part][place].astype(np.int64)
            close = np.bitwise_count(self.sketch[row] ^ queries[query, 0]) <= _SKETCH
            query, row = query[close], row[close]
            apart = np.bitwise_count(self.words[row] ^ queries[query]).sum(axis=1, dtype=np.int64)
            good = apart <= RADIUS
            found.append(query[good] * len(self) + row[good])
            bits_apart.append(apart[good])
        pairs, once = _distinct(np.concatenate(found))
        return pairs // len(self), pairs % len(self), np.concatenate(bits_apart)[once]

    def votes(self, codes: Codes, places: Places) -> tuple[Ints, Floats]:
        """Pictures and their votes, of those with any; the most first."""
        query, row, distance = self.near(codes)
        if self.gone:
            alive = ~np.isin(self.pictures.references[self.picture_of[row]], list(self.gone))
            query, row, distance = query[alive], row[alive], distance[alive]
        if not len(query):
            return np.empty(0, dtype=np.int64), np.empty(0)
        picture = self.picture_of[row].astype(np.int64)
        weight = np.clip(2.0 - distance / _VOTES_WHOLE, 0.0, 1.0)
        weight /= self._commonness(query, picture, len(codes))
        turn = (places[query, 3] - self.pictures.places[row, 3]) % 360
        size = np.log2(places[query, 2] / self.pictures.places[row, 2])
        bins = (turn * (_TURNS / 360)).astype(np.int64) % _TURNS * _SIZES
        bins += np.clip(np.floor(size * 1.5 + _SIZES / 2), 0, _SIZES - 1).astype(np.int64)
        return _counted(query, picture, bins, weight, len(codes))

    def _commonness(self, query: Ints, picture: Ints, queries: int) -> Floats:
        """For each pair in how many references its query feature was found."""
        reference = self.pictures.references[picture].astype(np.int64)
        pairs, _ = _distinct(query * (int(reference.max()) + 1) + reference)
        times = np.bincount(pairs // (int(reference.max()) + 1), minlength=queries)
        return np.minimum(times, _RARE)[query].astype(np.float64)

    def nominee(self, picture: int, votes: float) -> Nominee:
        first = int(self.first[picture])
        rows = slice(first, first + int(self.pictures.counts[picture]))
        width, height = self.pictures.sizes[picture].tolist()
        return Nominee(
            votes=votes,
            reference=int(self.pictures.references[picture]),
            offset=float(self.pictures.offsets[picture]),
            codes=self.pictures.codes[rows],
            places=self.pictures.places[rows],
            width=width,
            height=height,
        )


def _counted(
    query: Ints, picture: Ints, bins: Ints, weight: Floats, queries: int
) -> tuple[Ints, Floats]:
    """The votes of the best turn and size of each picture; a query feature counts once in a bin."""
    every = _TURNS * _SIZES
    keys = (picture * every + bins) * queries + query
    order = np.lexsort((-weight, keys))
    keys, once = _distinct(keys[order])
    weight = weight[order][once]
    places, starts = _distinct(keys // queries)
    summed = np.add.reduceat(weight, starts)
    raw = np.bincount(places // every, weights=summed)
    best = np.argsort(-raw, kind="stable")[:_MOST_PICTURES]
    best = best[raw[best] > 0]
    row = np.full(len(raw), -1)
    row[best] = np.arange(len(best))
    mine = row[places // every]
    table = np.zeros((len(best), _TURNS, _SIZES))
    kept = mine >= 0
    at = places[kept] % every
    table[mine[kept], at // _SIZES, at % _SIZES] = summed[kept]
    # a turn or size near a bin's edge falls into two: neighbours count together
    table += np.roll(table, 1, axis=1)
    table[:, :, 1:] += table[:, :, :-1].copy()
    votes = table.max(axis=(1, 2))
    order = np.argsort(-votes, kind="stable")
    return best[order], votes[order]


def _distinct(values: Ints) -> tuple[Ints, Ints]:
    """The distinct values, rising, and where the first of each stands (`numpy.unique` hashes first,
    which is slower for a few thousand values that are nearly in order)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.ones(len(ordered), dtype=np.bool_)
    first[1:] = ordered[1:] != ordered[:-1]
    return ordered[first], order[first]


def _keys(bits: NDArray[np.uint8], part: int, length: int) -> Ints:
    powers = 1 << np.arange(length, dtype=np.int64)
    keys: Ints = bits[:, _POSITIONS[part][:length]].astype(np.int64) @ powers
    return keys


def build_segment(pictures: Pictures) -> Segment:
    """`pictures` filed; they have at least one feature."""
    codes = np.ascontiguousarray(pictures.codes)
    words = codes.view(np.uint64)
    length = int(np.clip(round(np.log2(max(2, len(codes)))) + 1, FEWEST_BITS, MOST_BITS))
    starts, rows = [], []
    bits = np.unpackbits(codes, axis=1)
    for part in range(PARTS):
        keys = _keys(bits, part, length)
        rows.append(np.argsort(keys, kind="stable").astype(np.int32))
        ends = np.cumsum(np.bincount(keys, minlength=1 << length))
        starts.append(np.concatenate([[0], ends]).astype(np.int32))
    first = np.cumsum(pictures.counts, dtype=np.int64) - pictures.counts
    return Segment(
        pictures=replace(pictures, codes=codes),
        words=words,
        sketch=np.ascontiguousarray(words[:, 0]),
        picture_of=np.repeat(np.arange(len(pictures.counts), dtype=np.int32), pictures.counts),
        first=first,
        bits=length,
        starts=tuple(starts),
        rows=tuple(rows),
    )


@dataclass(slots=True, eq=False)
class LocalIndex:
    """A `hashdb.ports.LocalBackend`. One writer at a time; searches may run beside it."""

    _segments: tuple[Segment, ...] = ()
    _write: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        """Features that can be found."""
        return sum(
            int(s.pictures.counts[~np.isin(s.pictures.references, list(s.gone))].sum())
            for s in self._segments
        )

    def add(self, features: Iterable[tuple[int, LocalFeatures]]) -> None:
        """As `LocalBackend.add`."""
        fresh = [pictures_of(ordinal, one) for ordinal, one in features if len(one.codes)]
        if not fresh:
            return
        with self._write:
            segments = list(self._segments)
            size = sum(len(p.codes) for p in fresh)
            while segments and len(segments[-1]) <= min(_MERGE, 2 * size):
                last = segments.pop()
                fresh.insert(0, last.pictures.without(np.array(sorted(last.gone))))
                size += len(last)
            self._segments = (*segments, build_segment(_joined(fresh)))

    def remove(self, ordinals: Iterable[int]) -> None:
        """As `LocalBackend.remove`."""
        gone = frozenset(ordinals)
        with self._write:
            self._segments = tuple(
                replace(s, gone=s.gone | (gone & set(s.pictures.references.tolist())))
                for s in self._segments
            )

    def nominate(self, codes: Codes, places: Places, most: int) -> list[Nominee]:
        """As `LocalBackend.nominate`."""
        found = []
        for segment in self._segments:
            pictures, votes = segment.votes(codes, places)
            best = zip(pictures[:most].tolist(), votes[:most].tolist(), strict=True)
            found += [(segment, picture, count) for picture, count in best]
        found.sort(key=lambda row: -row[2])
        return [segment.nominee(picture, count) for segment, picture, count in found[:most]]

    def pictures(self, reference: int) -> list[Nominee]:
        """As `LocalBackend.pictures`."""
        return [
            segment.nominee(int(picture), 0.0)
            for segment in self._segments
            if reference not in segment.gone
            for picture in np.flatnonzero(segment.pictures.references == reference)
        ]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As `LocalBackend.arrays`."""
        parts = [s.pictures.without(np.array(sorted(s.gone))) for s in self._segments]
        joined = _joined(parts) if parts else _NOTHING
        return {name: getattr(joined, name) for name in _COLUMNS}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """As `LocalBackend.load`."""
        if missing := [name for name in _COLUMNS if name not in arrays]:
            raise BadSnapshot(f"local features without {', '.join(missing)}")
        pictures = Pictures(*(arrays[name] for name in _COLUMNS))
        for name in _COLUMNS:
            have, want = getattr(pictures, name), getattr(_NOTHING, name)
            same = have.ndim == want.ndim and have.shape[1:] == want.shape[1:]
            if have.dtype != want.dtype or not same:
                raise BadSnapshot(f"{name} {have.shape} {have.dtype}")
        places = pictures.places
        if (pictures.references < 0).any() or not np.isfinite(places).all():
            raise BadSnapshot("local features out of range")
        if len(places) and places[:, 2].min() <= 0:
            raise BadSnapshot("local features without a size")
        frames, rows = len(pictures.counts), int(pictures.counts.sum())
        columns = (pictures.sizes, pictures.offsets, pictures.references)
        if any(len(c) != frames for c in columns) or (pictures.counts < 0).any():
            raise BadSnapshot("pictures that do not fit together")
        if len(pictures.codes) != rows or len(pictures.places) != rows:
            raise BadSnapshot("features that do not fit together")
        self._segments = (build_segment(pictures),) if rows else ()


_NOTHING = Pictures(
    np.empty((0, 32), np.uint8),
    np.empty((0, 4), np.float32),
    np.empty((0, 2), np.uint16),
    np.empty(0, np.int32),
    np.empty(0, np.float64),
    np.empty(0, np.int32),
)
