"""Which pictures of references share many local features with a query's picture.

Features are filed by their codes (`hashdb.index.filing`), and what is near votes for its picture
(`hashdb.index.voting`). How common a feature is, is counted over the whole index, by incidents:
references that share much with one another are versions of one.

Segments never change; one tuple of them is replaced in one assignment, as in `faiss_flat`. Small
ones are merged as they come, each feature a few times over its life.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.index import voting
from hashdb.index.filing import (
    PARTS,
    STEP,
    Filed,
    Kernels,
    NumpyKernels,
    Owners,
    filed,
    length_of,
)
from hashdb.index.pictures import (
    COLUMNS,
    NO_PICTURES,
    UNKNOWN,
    Pictures,
    Places,
    checked,
    joined,
    measured,
    pictures_of,
)
from hashdb.index.voting import Pairs
from hashdb.model import Codes, Ints, LocalFeatures
from hashdb.ports import Nominee

log = logging.getLogger(__name__)

_MERGED = 1 << 24  # features up to which segments are merged, so that an addition takes seconds
_FACTOR = 4  # a segment is merged into one that is a quarter of its size, or more
_LOOKED_UP = 4  # pictures of a new reference by which its incident is found
_FEWEST = 8  # features of such a picture
_SMALL = 100_000  # features held, up to which all features of a picture ask
_DEAD = 0.25  # share of removed features above which a segment is built anew


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Pictures, filed. `first` (f,): each picture's first row; `near`: see `filing.Owners`; `alive`
    (f,): not removed; `held`: how many features those have; `asked` (f,): those that searches look
    at. `mapped`: the arrays are maps of a file that processes share, so the segment is neither
    merged here nor built anew."""

    pictures: Pictures
    filed: Filed
    first: Ints
    near: NDArray[np.int32]
    alive: NDArray[np.bool_]
    held: int
    asked: NDArray[np.bool_]
    mapped: bool = False

    def without(self, references: Ints, kernels: Kernels) -> Segment:
        """The same segment without these references, built anew where much of it is removed."""
        alive = self.alive & ~np.isin(self.pictures.references, references)
        held = int(self.pictures.counts[alive].sum(dtype=np.int64))
        if self.mapped or not held or held >= (1 - _DEAD) * len(self.pictures.codes):
            return replace(self, alive=alive, held=held)
        return build_segment(self.pictures.take(alive), kernels)

    def hiding(self, references: Ints) -> Segment:
        """The same segment, of which searches pass over these references and what is removed."""
        hidden = np.isin(self.pictures.references, references)
        return replace(self, asked=self.alive & ~hidden)

    def pairs(self, codes: Codes, places: Places, kernels: Kernels, number: int) -> Pairs:
        """`number`: of the first picture here, in the whole index."""
        held = self.pictures
        owners = Owners(self.first, held.incidents, self.asked, held.places, self.near, number)
        return kernels.pairs(_words(codes), places[:, 2:], self.filed, owners)

    def nominee(self, picture: int, votes: float) -> Nominee:
        first = int(self.first[picture])
        rows = slice(first, first + int(self.pictures.counts[picture]))
        width, height = self.pictures.sizes[picture].tolist()
        return Nominee(
            votes=votes,
            reference=int(self.pictures.references[picture]),
            offset=float(self.pictures.offsets[picture]),
            codes=self.pictures.codes[rows],
            places=measured(self.pictures.places[rows]),
            width=width,
            height=height,
            track=int(self.pictures.tracks[picture]),
        )


def _words(codes: Codes) -> NDArray[np.uint64]:
    return np.ascontiguousarray(codes).view(np.uint64)


def build_segment(pictures: Pictures, kernels: Kernels) -> Segment:
    """`pictures` filed; they have at least one feature."""
    return _segment(pictures, filed(_words(pictures.codes), kernels))


def _segment(pictures: Pictures, filed: Filed, *, mapped: bool = False) -> Segment:
    first = np.cumsum(pictures.counts, dtype=np.int64) - pictures.counts
    every = np.arange(0, len(pictures.codes), STEP)
    near = np.searchsorted(first, every, side="right") - 1
    alive = np.ones(len(pictures), dtype=np.bool_)
    held = len(pictures.codes)
    return Segment(pictures, filed, first, near.astype(np.int32), alive, held, alive, mapped)


@cache
def fastest() -> Kernels:
    """Compiled kernels where the extra `fast` is installed, else numpy's."""
    try:
        from hashdb.index.compiled import CompiledKernels
    except ImportError as error:
        log.info("local features are searched by numpy, without the extra 'fast': %s", error)
        return NumpyKernels()
    return CompiledKernels()


@dataclass(slots=True, eq=False)
class LocalIndex:
    """A `hashdb.ports.LocalBackend`. One writer at a time; searches may run beside it."""

    kernels: Kernels = field(default_factory=fastest)
    _segments: tuple[Segment, ...] = ()
    _hidden: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _write: threading.Lock = field(default_factory=threading.Lock)

    def __len__(self) -> int:
        """Features that can be found."""
        return sum(s.held for s in self._segments)

    def add(self, features: Iterable[tuple[int, LocalFeatures]]) -> None:
        """As `LocalBackend.add`."""
        fresh = [pictures_of(ordinal, one) for ordinal, one in features if len(one.codes)]
        if not fresh:
            return
        with self._write:
            segments = list(self._segments)
            added = self._with_incidents(segments, build_segment(joined(fresh), self.kernels))
            parts, size = [added.pictures], len(added.pictures.codes)
            while segments and _merges(segments[-1], size):
                last = segments.pop()
                parts.insert(0, last.pictures.take(last.alive))
                size += len(parts[0].codes)
            if len(parts) > 1:
                added = build_segment(joined(parts), self.kernels)
            self._segments = (*segments, added.hiding(self._hidden))

    def remove(self, ordinals: Iterable[int]) -> None:
        """As `LocalBackend.remove`."""
        gone = np.array(sorted(set(ordinals)), dtype=np.int64)
        with self._write:
            left = [s.without(gone, self.kernels) for s in self._segments]
            self._segments = tuple(s.hiding(self._hidden) for s in left if s.held)

    def hide(self, ordinals: Iterable[int]) -> None:
        """As `LocalBackend.hide`."""
        with self._write:
            self._hidden = np.array(sorted(set(ordinals)), dtype=np.int64)
            self._segments = tuple(s.hiding(self._hidden) for s in self._segments)

    def nominate(
        self, codes: Codes, places: Places, most: int, *, rarest: int | None = None
    ) -> list[Nominee]:
        """As `LocalBackend.nominate`."""
        segments = self._segments
        if not segments or not len(codes) or not most:
            return []
        held = sum(s.held for s in segments)
        if rarest is not None and rarest < len(codes) and held > _SMALL:
            words = _words(codes)
            common = sum(self.kernels.common(words, s.filed) for s in segments)
            kept = np.sort(np.argsort(common, kind="stable")[:rarest])
            codes, places = codes[kept], places[kept]
        pairs = _pairs(segments, codes, places, self.kernels)
        pictures, votes = self.kernels.votes(pairs, len(codes), _incidents(segments), most)
        found = zip(pictures.tolist(), votes.tolist(), strict=True)
        return [_nominee(segments, picture, count) for picture, count in found]

    def pictures(self, reference: int, track: int | None = None) -> list[Nominee]:
        """As `LocalBackend.pictures`."""
        found = []
        for segment in self._segments:
            wanted = (segment.pictures.references == reference) & segment.alive
            if track is not None:
                wanted &= segment.pictures.tracks == track
            found += [segment.nominee(int(row), 0.0) for row in np.flatnonzero(wanted)]
        return found

    def counts(self) -> dict[int, int]:
        """As `LocalBackend.counts`."""
        held: dict[int, int] = {}
        for s in self._segments:
            sums = np.bincount(s.pictures.references[s.alive], s.pictures.counts[s.alive])
            for ordinal in np.flatnonzero(sums).tolist():
                held[ordinal] = held.get(ordinal, 0) + int(sums[ordinal])
        return held

    def filed(self) -> list[Filed]:
        """The tables, for a look at how full their buckets are."""
        return [segment.filed for segment in self._segments]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As `LocalBackend.arrays`."""
        parts = [s.pictures.take(s.alive) for s in self._segments]
        every = joined(parts) if parts else NO_PICTURES
        return {name: getattr(every, name) for name in COLUMNS}

    def tables(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """As `LocalBackend.tables`."""
        codes = arrays["codes"]
        if not len(codes):
            return {}
        made = [s.filed for s in self._segments if s.pictures.codes is codes]
        found = made[0] if made else filed(_words(codes), self.kernels)
        return {"starts": found.starts, "rows": found.rows}

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """As `LocalBackend.load`."""
        pictures = checked(arrays)
        if not len(pictures.codes):
            return
        if "starts" in arrays or "rows" in arrays:
            tables = _filed(_words(pictures.codes), arrays)
            self._segments = (_segment(pictures, tables, mapped=True),)
        else:
            self._segments = (build_segment(pictures, self.kernels),)

    def _with_incidents(self, segments: Sequence[Segment], added: Segment) -> Segment:
        """The new segment, with each reference's incident found among those before it, hidden ones
        too, or new."""
        segments = [replace(s, asked=s.alive) for s in segments]
        incidents = added.pictures.incidents.copy()
        added = replace(added, pictures=replace(added.pictures, incidents=incidents))
        new = _incidents(segments)
        _, first = np.unique(added.pictures.references, return_index=True)
        for reference in added.pictures.references[np.sort(first)].tolist():
            mine = np.flatnonzero(added.pictures.references == reference)
            shares = [
                self._shares((*segments, added), added.nominee(picture, 0.0))
                for picture in _spread(mine[added.pictures.counts[mine] >= _FEWEST])
            ]
            found = voting.kin(shares)
            incidents[mine] = new if found is None else found
            new = max(new, int(incidents[mine[0]]) + 1)
        return added

    def _shares(self, segments: Sequence[Segment], picture: Nominee) -> dict[int, float]:
        """By incident, the part of the picture's features that one picture of it holds in place."""
        pairs = _pairs(segments, picture.codes, picture.places, self.kernels)
        known = pairs.take(pairs.incidents != UNKNOWN)
        pictures, votes = voting.votes(known, known.weights, len(picture.codes))
        shares: dict[int, float] = {}
        for number, count in zip(pictures.tolist(), votes.tolist(), strict=True):
            segment, at = _place(segments, number)
            incident = int(segment.pictures.incidents[at])
            shares.setdefault(incident, count / len(picture.codes))  # the most come first
        return shares


def _merges(segment: Segment, added: int) -> bool:
    size = len(segment.pictures.codes)
    return not segment.mapped and size <= _FACTOR * added and size + added <= _MERGED


def _spread(pictures: Ints) -> list[int]:
    """At most so many as are looked up, evenly."""
    count = min(_LOOKED_UP, len(pictures))
    steps = (np.arange(count) * 2 + 1) * len(pictures) // max(1, 2 * count)
    return [int(picture) for picture in pictures[steps]]


def _incidents(segments: Sequence[Segment]) -> int:
    """One more than the highest number of an incident."""
    return max((int(s.pictures.incidents.max()) + 1 for s in segments), default=0)


def _pairs(segments: Sequence[Segment], codes: Codes, places: Places, kernels: Kernels) -> Pairs:
    number, parts = 0, []
    for segment in segments:
        parts.append(segment.pairs(codes, places, kernels, number))
        number += len(segment.pictures)
    return voting.joined(parts)


def _place(segments: Sequence[Segment], number: int) -> tuple[Segment, int]:
    """The segment of a picture, and its number there."""
    for segment in segments:
        if number < len(segment.pictures):
            return segment, number
        number -= len(segment.pictures)
    raise IndexError(number)


def _nominee(segments: Sequence[Segment], number: int, votes: float) -> Nominee:
    segment, picture = _place(segments, number)
    return segment.nominee(picture, votes)


def _filed(words: NDArray[np.uint64], arrays: Mapping[str, NDArray[Any]]) -> Filed:
    """The tables among the arrays; `BadSnapshot` where they do not fit the codes."""
    length = length_of(len(words))
    shapes = {"starts": (PARTS, (1 << length) + 1), "rows": (PARTS, len(words))}
    for name, shape in shapes.items():
        if name not in arrays or arrays[name].shape != shape or arrays[name].dtype != np.uint32:
            raise BadSnapshot(f"local features whose table {name!r} does not fit")
    return Filed(words, length, arrays["starts"], arrays["rows"])
