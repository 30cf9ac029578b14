"""The seams of what is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Descriptors, Floats, Ints, LocalFeatures, SoundPeaks


@dataclass(frozen=True, slots=True, eq=False)
class CodeHits:
    """Codes within the radius, one row a hit, in no order.

    `queries` (k,) int64: the row of the query's codes; `ids` (k,) int64: the id that the code was
    added under; `distances` (k,) int16: Hamming distance in bits; `codes` (k, bits/8) uint8: the
    code itself.
    """

    queries: Ints
    ids: Ints
    distances: NDArray[np.int16]
    codes: Codes

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> CodeHits:
        """Only those hits, in that order."""
        return CodeHits(self.queries[rows], self.ids[rows], self.distances[rows], self.codes[rows])


def nearest(queries: Ints, ids: Ints, distances: NDArray[np.int16], most: int) -> Ints | None:
    """Which hits to keep so that no query has more than its nearest `most`, of equally near ones
    those of the lowest ids; None where all are kept."""
    counts = np.bincount(queries)
    if not len(counts) or int(counts.max()) <= most:
        return None
    order = np.lexsort((ids, distances, queries))
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(order)) - starts[queries[order]]
    return np.asarray(order[rank < most])


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """The next rows of the array `name`, which has `count` rows in all."""

    name: str
    rows: NDArray[Any]
    count: int


class IndexBackend(Protocol):
    """Exact Hamming range search over codes of one length.

    Every search may run beside an `add` or a `remove` from another thread, and sees the codes as
    they stood before or after it, never in between.
    """

    @property
    def bits(self) -> int: ...

    def __len__(self) -> int:
        """How many codes can be found: added and not removed."""
        ...

    def add(self, codes: Codes, ids: Ints) -> None:
        """Add (n, bits/8) uint8 codes under (n,) ids, which are new and not negative."""
        ...

    def remove(self, ids: Ints) -> None:
        """Take the codes of these ids out; ids that are not there are passed over."""
        ...

    def search(self, codes: Codes, radius: int, most: int | None = None) -> CodeHits:
        """Every code within `radius` bits (inclusive) of each of (m, bits/8) query codes. `most`:
        of a query's hits only the nearest so many are wanted, of equally near ones those of the
        lowest ids; an engine may give more."""
        ...

    def may_hit(self, codes: Codes, radius: int) -> bool:
        """Whether to `search` at all: False where a quicker search finds no code within `radius` of
        any of the query codes. It misses none that differs in less than an eighth of its bits, and
        few beyond; an engine that knows no quicker one says True."""
        ...

    def arrays(self) -> tuple[Codes, Ints]:
        """All codes and ids that can be found, in the order of the ids."""
        ...

    def parts(self) -> tuple[int, Iterator[tuple[Codes, Ints]]]:
        """The same for a snapshot, a part at a time, and how many codes it is in all: as they
        stand at the call, whatever is added or removed before they are read. A snapshot's codes
        have their bits in the order of `hashdb.placings`, whatever engine writes or reads it."""
        ...

    @property
    def shares(self) -> bool:
        """Whether what `load` is given is kept as it is, so that processes share a map of it."""
        ...

    def tables(self, codes: Codes) -> Iterator[Piece]:
        """What (n, bits/8) codes of a snapshot, under the ids from 0 on, are found by: arrays with
        names, a piece at a time, to stand beside the codes; none where the engine needs none. Says
        nothing of what this index holds."""
        ...

    def load(self, codes: Codes, tables: Mapping[str, NDArray[Any]]) -> None:
        """Fill this index, which is empty, with a snapshot's codes under the ids from 0 on.
        `tables`: what `tables` of some engine gave for them; one that has other ones, or none,
        makes its own. `BadSnapshot` where they do not fit together."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class PlacedCodes:
    """Codes and when they are shown, in the order of their ids. `ids` (n,) int64; `codes` (n,
    bits/8) uint8; `offsets`, `spans` (n,) float64, seconds of the reference; `tracks` (n,)
    int32."""

    ids: Ints
    codes: Codes
    offsets: Floats
    spans: Floats
    tracks: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> PlacedCodes:
        return PlacedCodes(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class PlacedHits:
    """Hits, and when the code of each is shown: `offsets`, `spans` and `tracks` as above."""

    hits: CodeHits
    offsets: Floats
    spans: Floats
    tracks: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Mark:
    """How far what is shared has been brought: change `number` of the database is applied, and all
    before it. `check`: 8 bytes that tell that change from another one of the same number."""

    number: int
    check: bytes


class SharedCodes(Protocol):
    """Codes of one signal type on a server, which all processes of a service search and write.
    One writer at a time, which its callers see to; searches may run beside it. Every method raises
    `IndexUnavailable`."""

    @property
    def bits(self) -> int: ...

    def __len__(self) -> int:
        """How many codes can be found."""
        ...

    def catch_up(self) -> None:
        """Whatever any process has written before, this one too, is seen by all that is asked from
        now on."""
        ...

    def put(self, rows: PlacedCodes) -> None:
        """Add rows under ids that are not there."""
        ...

    def remove(self, ids: Ints) -> None:
        """Take the codes of these ids out; ids that are not there are passed over."""
        ...

    def within(self, low: int, end: int) -> PlacedCodes:
        """All rows with ids from `low`, not negative, to below `end`."""
        ...

    def find(self, codes: Codes, radius: int, most: int | None = None) -> PlacedHits:
        """As `IndexBackend.search`."""
        ...

    def mark(self) -> Mark | None:
        """The mark that was set last; None where there never was one."""
        ...

    def set_mark(self, mark: Mark) -> None:
        """Whoever sees the mark sees all that was written before it."""
        ...

    def settle(self) -> None:
        """Many codes were added, and will be searched: for a server that puts off its work."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Nominee:
    """A picture of a reference that shares local features with a query's picture.

    `votes`: how many, each weighted by distance and by how few incidents have it; `reference`: its
    ordinal; `offset`: the picture's time in seconds; `codes` (n, 32), `places` (n, 4): see
    `hashdb.model.LocalFeatures`; `width`, `height` in pixels; `track`: of the reference.
    """

    votes: float
    reference: int
    offset: float
    codes: Codes
    places: NDArray[np.float32]
    width: int
    height: int
    track: int = 0


class LocalBackend(Protocol):
    """Local features of references; searches may run beside an `add` or a `remove`."""

    def __len__(self) -> int:
        """How many features can be found."""
        ...

    def add(self, features: Iterable[tuple[int, LocalFeatures]]) -> None:
        """Add features of references, each with the reference's ordinal."""
        ...

    def remove(self, ordinals: Iterable[int]) -> None:
        """Take references out; those that are not there are passed over."""
        ...

    def hide(self, ordinals: Iterable[int]) -> None:
        """Let searches pass over these references, and over no others: as if they were not there.
        All else tells of them as before."""
        ...

    def nominate(
        self, codes: Codes, places: NDArray[np.float32], most: int, *, rarest: int | None = None
    ) -> list[Nominee]:
        """The `most` pictures with most votes for one query picture's features, or only for the so
        many `rarest` of them where much is held."""
        ...

    def pictures(self, reference: int, track: int | None = None) -> list[Nominee]:
        """All pictures of one reference, or of one of its tracks, without votes."""
        ...

    def counts(self) -> dict[int, int]:
        """By ordinal, how many features of a reference can be found; none without any."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is held, for a snapshot."""
        ...

    def tables(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What the features of `arrays()` are found by, for a snapshot too."""
        ...

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill this index, which is empty, from `arrays()`, and with the tables that are among
        them, if any. They are kept and must not be written to. Raises `BadSnapshot`."""
        ...


class LandmarkHits(Protocol):
    """Entries of references with a key that was asked for, one row a hit.

    `queries` (k,) int64: row of the key in the search; `ordinals` (k,) int32: the reference's;
    `moments` (k,) uint32: when, and at which pitch, see `matcher.landmarks.unpack_moments`.
    """

    @property
    def queries(self) -> Ints: ...

    @property
    def ordinals(self) -> NDArray[np.int32]: ...

    @property
    def moments(self) -> NDArray[np.uint32]: ...


class LandmarkBackend(Protocol):
    """The sound of references, found by landmarks; searches may run beside an `add` or a
    `remove`. What the landmarks of a sound are is not the backend's to know."""

    def __len__(self) -> int:
        """How many landmarks can be found."""
        ...

    @property
    def seconds(self) -> float:
        """How much sound it holds, of all references together that are not hidden."""
        ...

    def add(self, sounds: Iterable[tuple[int, SoundPeaks]]) -> None:
        """Add sounds of references that are not here yet, each with the reference's ordinal; all
        tracks of a reference in one call."""
        ...

    def remove(self, ordinals: Iterable[int]) -> None:
        """Take references out; those that are not there are passed over."""
        ...

    def hide(self, ordinals: Iterable[int]) -> None:
        """Let searches pass over these references, and over no others: as if they were not there.
        All else tells of them as before."""
        ...

    def search(self, keys: NDArray[np.uint32]) -> LandmarkHits:
        """The entries with these (n,) keys; of keys that are too common to say much, some of them,
        of the same references for all."""
        ...

    def peaks(self) -> dict[int, int]:
        """By ordinal, how many peaks' landmarks are held; -1 where some have gone amiss."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is held, for a snapshot. Ordinals stand in `references`, each once, and in
        `ordinals`, one for each landmark."""
        ...

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill this index, which is empty, from `arrays()`. Raises `BadSnapshot`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DescriptorHits:
    """Pictures of references that look like a query's, one row a hit, in no order.

    `queries` (k,) int64: row of the query's vectors; `ordinals` (k,) int32: the reference's;
    `starts`, `ends` (k,) float64: the stretch of the reference that its picture stands for, in
    seconds; `similarities` (k,) float32: cosines.
    """

    queries: Ints
    ordinals: NDArray[np.int32]
    starts: Floats
    ends: Floats
    similarities: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, rows: NDArray[np.bool_] | Ints) -> DescriptorHits:
        return DescriptorHits(
            self.queries[rows],
            self.ordinals[rows],
            self.starts[rows],
            self.ends[rows],
            self.similarities[rows],
        )


class DescriptorBackend(Protocol):
    """Descriptors of references, all of one model; searches may run beside an `add` or a
    `remove`, and see the descriptors as they stood before or after it."""

    def __len__(self) -> int:
        """How many descriptors can be found."""
        ...

    def add(self, descriptors: Iterable[tuple[int, Descriptors]]) -> None:
        """Add descriptors of references that are not here yet, each with the reference's ordinal.
        `BadFingerprint` where their vectors do not fit those that are here."""
        ...

    def remove(self, ordinals: Iterable[int]) -> None:
        """Take references out; those that are not there are passed over."""
        ...

    def hide(self, ordinals: Iterable[int]) -> None:
        """Let searches pass over these references, and over no others: as if they were not there.
        All else tells of them as before."""
        ...

    def search(self, vectors: NDArray[np.floating[Any]], least: float, most: int) -> DescriptorHits:
        """Of each of (m, d) vectors of length 1 the pictures whose cosine is `least` or more, at
        most the `most` nearest."""
        ...

    def counts(self) -> dict[int, int]:
        """By ordinal, how many descriptors can be found."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is held, for a snapshot. Ordinals stand in `references`, one for each
        descriptor."""
        ...

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill this index, which is empty, from `arrays()`. Raises `BadSnapshot`."""
        ...


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot that others may fetch. `file`: its name there; `digest`: see
    `hashdb.format.Contents`; `size` in bytes; `database`, `number`, `version`: of which database it
    is, at which change, and in which form."""

    file: str
    digest: str
    size: int
    database: str
    number: int
    version: int


class SnapshotSource(Protocol):
    """Where snapshots are published. All raise `BadSnapshot` where it does not answer."""

    def latest(self) -> Published | None:
        """The latest one; None where nothing is published."""
        ...

    def fetch(
        self, published: Published, to: Path, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Write its bytes to a file. `progress(done, all)` counts them. Nothing is checked."""
        ...


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One line of a partner's hash list. `change` is "add" or "withdraw"; `checkpoint` is where to
    go on after this line; `body` holds what an add carries, in the exchange's JSON form."""

    change: str
    reference_id: str
    checkpoint: str
    body: dict[str, object]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be read: the how manieth of those that were fetched, and why; the rest as
    in `FeedEntry`, as far as the line says it."""

    number: int
    why: str
    reference_id: str | None = None
    checkpoint: str | None = None


class Partner(Protocol):
    """The other side of an exchange."""

    def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry | BadLine]:
        """All lines after `checkpoint` (None: from the beginning), in order. Raises
        `PartnerUnavailable` where the list breaks off."""
        ...
