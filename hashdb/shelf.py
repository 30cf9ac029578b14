"""The codes of references in memory: engines that find ids, and what each id stands for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.model import (
    Codes,
    Descriptors,
    Fingerprint,
    Floats,
    Ints,
    LocalFeatures,
    SoundPeaks,
)
from hashdb.ports import (
    CodeHits,
    DescriptorBackend,
    IndexBackend,
    LandmarkBackend,
    LocalBackend,
    nearest,
)

_QUERIES = 512  # searched at once where hits are cut: all placings of an upload of 50 frames

Features = TypeVar("Features")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One row a code. `codes` (n, bits/8) uint8; `references` (n,) int32: the reference's ordinal;
    `offsets`, `spans` (n,) float64, seconds of the reference; `tracks` (n,) int32."""

    codes: Codes
    references: NDArray[np.int32]
    offsets: Floats
    spans: Floats
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
        fingerprint.spans,
        np.full(n, fingerprint.track, dtype=np.int32),
    )


def no_rows(bits: int, n: int = 0) -> Rows:
    """`n` rows with nothing in them yet."""
    return Rows(
        np.empty((n, bits // 8), dtype=np.uint8),
        np.empty(n, dtype=np.int32),
        np.empty(n, dtype=np.float64),
        np.empty(n, dtype=np.float64),
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
    """What ids stand for, with room at the end. Of the id i: `offsets[i]`, `spans[i]`. Ids follow
    on one another in runs of one reference's track: `firsts` (r,) int64, the lowest id of each run,
    which rise, and behind the last one are the greatest of all; `references`, `tracks` (r,) int32.
    """

    offsets: Floats
    spans: Floats
    firsts: Ints
    references: NDArray[np.int32]
    tracks: NDArray[np.int32]

    def rows(self, ids: Ints, codes: Codes) -> Rows:
        """The rows of these ids, whose codes are given."""
        run = np.searchsorted(self.firsts, ids, side="right") - 1
        return Rows(
            codes, self.references[run], self.offsets[ids], self.spans[ids], self.tracks[run]
        )


def _room(rows: int, runs: int, old: _Columns | None = None) -> _Columns:
    """Room for so many rows and runs, with the `old` ones at the beginning."""
    new = _Columns(
        np.empty(rows),
        np.empty(rows),
        np.full(runs, np.iinfo(np.int64).max),
        np.empty(runs, dtype=np.int32),
        np.empty(runs, dtype=np.int32),
    )
    for column in fields(_Columns) if old is not None else ():
        kept = getattr(old, column.name)
        getattr(new, column.name)[: len(kept)] = kept
    return new


class Shelf:
    """The codes of one signal type, in an engine, and the rest of their rows. A row's number is its
    id in the engine, and is not used again.

    One writer at a time; searches may run beside it, because what ids stand for is written before
    the engine learns of them, and is never changed after.
    """

    def __init__(self, backend: IndexBackend) -> None:
        self.backend = backend
        self._held = _room(0, 0)
        self._used = self._runs = 0
        self._places: dict[int, tuple[int, int]] = {}  # ordinal: first row, row after the last

    def __len__(self) -> int:
        return len(self.backend)

    def add(self, rows: Rows) -> None:
        """Add rows of references that are not here yet, each reference's rows in one piece."""
        if not len(rows):
            return
        first, self._used = self._used, self._used + len(rows)
        self._hold(rows, first)
        ids = np.arange(first, self._used, dtype=np.int64)
        self.backend.add(np.ascontiguousarray(rows.codes), ids)
        edges = np.flatnonzero(np.diff(rows.references)) + 1
        starts = [0, *edges.tolist()]
        for start, end in zip(starts, [*edges.tolist(), len(rows)], strict=True):
            self._places[int(rows.references[start])] = (first + start, first + end)

    def remove(self, ordinals: Iterable[int]) -> None:
        """Take the rows of these references out."""
        places = [self._places.pop(o) for o in ordinals if o in self._places]
        if places:
            ids = np.concatenate([np.arange(a, b, dtype=np.int64) for a, b in places])
            self.backend.remove(ids)

    def search(
        self, codes: Codes, radius: int, most: int | None = None
    ) -> tuple[CodeHits, Rows, Ints]:
        """The hits, the row of each, and the queries that had more than `most` hits, of which then
        the nearest `most` are given (of equally near ones the oldest). `most` bounds the memory:
        queries are searched a few at a time, and cut before the next."""
        if most is None:
            hits = self.backend.search(codes, radius)
            return hits, self._held.rows(hits.ids, hits.codes), np.empty(0, dtype=np.int64)
        parts, crowded = [], []
        for first in range(0, max(1, len(codes)), _QUERIES):
            found = self.backend.search(codes[first : first + _QUERIES], radius, most + 1)
            kept, cut = _nearest(found, most)
            parts.append(replace(kept, queries=kept.queries + first))
            crowded.append(cut + first)
        hits = CodeHits(
            np.concatenate([p.queries for p in parts]),
            np.concatenate([p.ids for p in parts]),
            np.concatenate([p.distances for p in parts]),
            np.concatenate([p.codes for p in parts]),
        )
        return hits, self._held.rows(hits.ids, hits.codes), np.concatenate(crowded)

    def found(self) -> Rows:
        """What the engine can find: its codes, beside what their ids stand for."""
        codes, ids = self.backend.arrays()
        return self._held.rows(ids, codes)

    def _hold(self, rows: Rows, first: int) -> None:
        """Write what the ids from `first` on stand for; into new arrays where there is no room:
        searches keep the old."""
        changes = (np.diff(rows.references) != 0) | (np.diff(rows.tracks) != 0)
        begins = np.append(0, np.flatnonzero(changes) + 1)
        run, self._runs = self._runs, self._runs + len(begins)
        if self._used > len(self._held.offsets) or self._runs > len(self._held.firsts):
            room = [used + used // 8 + 64 for used in (self._used, self._runs)]
            self._held = _room(room[0], room[1], self._held)
        held = self._held
        held.offsets[first : self._used] = rows.offsets
        held.spans[first : self._used] = rows.spans
        held.references[run : self._runs] = rows.references[begins]
        held.tracks[run : self._runs] = rows.tracks[begins]
        held.firsts[run : self._runs] = begins + first  # last: a search may look beside this


def _nearest(hits: CodeHits, most: int) -> tuple[CodeHits, Ints]:
    """The nearest `most` hits of each query, and the queries that had more."""
    crowded = np.flatnonzero(np.bincount(hits.queries) > most)
    kept = nearest(hits.queries, hits.ids, hits.distances, most)
    return (hits if kept is None else hits.take(kept)), crowded


@dataclass(slots=True, eq=False)
class Shelves:
    """What is held of all references, as of change `number`, whose reference is `last`.

    `local` holds the local features, `sound` the sounds and `neural` the descriptors of one model,
    if any are wanted.

    `names` only grows, because hits refer to it; `ordinals` has the references with codes here.
    One writer at a time; searches may run beside it.
    """

    shelves: Mapping[str, Shelf]
    number: int = 0
    last: str | None = None
    names: list[str] = field(default_factory=list)
    ordinals: dict[str, int] = field(default_factory=dict)
    local: LocalBackend | None = None
    sound: LandmarkBackend | None = None
    neural: DescriptorBackend | None = None

    def add(
        self,
        fingerprints: Iterable[tuple[str, Fingerprint]],
        local: Iterable[tuple[str, LocalFeatures]] = (),
        sound: Iterable[tuple[str, SoundPeaks]] = (),
        neural: Iterable[tuple[str, Descriptors]] = (),
    ) -> None:
        """Add all that is held of references, all of a reference's in one call. What is of
        references that are here already is passed over, so a change that is applied twice counts
        once."""
        fresh: dict[str, int] = {}
        parts: dict[str, list[Rows]] = {}
        for ordinal, fingerprint in self._fresh(fingerprints, fresh):
            if len(fingerprint):
                rows = rows_of(ordinal, fingerprint)
                parts.setdefault(fingerprint.signal_type, []).append(rows)
        if self.local is not None:
            self.local.add(list(self._fresh(local, fresh)))
        if self.sound is not None:
            self.sound.add(list(self._fresh(sound, fresh)))
        if self.neural is not None:
            self.neural.add(list(self._fresh(neural, fresh)))
        for kind, some in parts.items():
            shelf = self.shelves[kind]
            joined = join_rows(some, shelf.backend.bits)
            shelf.add(joined.take(np.argsort(joined.references, kind="stable")))
        self.ordinals.update(fresh)

    def _fresh(
        self, pairs: Iterable[tuple[str, Features]], fresh: dict[str, int]
    ) -> Iterator[tuple[int, Features]]:
        """What is of references that are not here yet, with their ordinals, which are given out on
        the way and noted in `fresh`."""
        for name, one in pairs:
            if name in self.ordinals:
                continue
            if name not in fresh:
                fresh[name] = len(self.names)
                self.names.append(name)
            yield fresh[name], one

    def remove(self, names: Iterable[str]) -> None:
        """Take references out; those that are not here are passed over."""
        ordinals = [self.ordinals.pop(name) for name in names if name in self.ordinals]
        if ordinals:
            for shelf in self.shelves.values():
                shelf.remove(ordinals)
            for index in (self.local, self.sound, self.neural):
                if index is not None:
                    index.remove(ordinals)

    def feature_counts(self) -> list[tuple[str, str, int]]:
        """Ids and signal types of references with local features, sounds or descriptors, and how
        many features, peaks or descriptors can be found."""
        counts: list[tuple[str, str, int]] = []
        if self.local is not None:
            counts += [(self.names[o], "local", n) for o, n in self.local.counts().items()]
        if self.sound is not None:
            counts += [(self.names[o], "sound", n) for o, n in self.sound.peaks().items()]
        if self.neural is not None:
            counts += [(self.names[o], "neural", n) for o, n in self.neural.counts().items()]
        return counts

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that is held, as plain arrays: the references' ids as UTF-8 text, one a line, and
        for each signal type its rows, with the ordinals counted anew without gaps."""
        held = np.zeros(len(self.names), dtype=np.bool_)
        held[list(self.ordinals.values())] = True
        ordinals = (np.cumsum(held) - 1).astype(np.int32)
        names = "\n".join(name for name, here in zip(self.names, held, strict=True) if here)
        arrays: dict[str, NDArray[Any]] = {"names": np.frombuffer(names.encode(), dtype=np.uint8)}
        for kind, shelf in self.shelves.items():
            rows = shelf.found()
            for column in fields(Rows):
                arrays[f"{kind}/{column.name}"] = getattr(rows, column.name)
            arrays[f"{kind}/references"] = ordinals[rows.references]
        if self.local is not None:
            found = self.local.arrays()
            arrays.update({f"local/{name}": array for name, array in found.items()})
            arrays["local/references"] = ordinals[found["references"]]
        if self.sound is not None:
            found = self.sound.arrays()
            arrays.update({f"sound/{name}": array for name, array in found.items()})
            for name in ("references", "ordinals"):
                arrays[f"sound/{name}"] = ordinals[found[name]]
        if self.neural is not None:
            found = self.neural.arrays()
            arrays.update({f"neural/{name}": array for name, array in found.items()})
            arrays["neural/references"] = ordinals[found["references"]]
        return arrays

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill these shelves, which are empty, from `arrays()`; `BadSnapshot` where they do not
        fit together."""
        try:
            text = arrays["names"].tobytes().decode()
            names = text.split("\n") if text else []
            for kind, shelf in self.shelves.items():
                columns = [arrays[f"{kind}/{c.name}"] for c in fields(Rows)]
                shelf.add(_checked(Rows(*columns), shelf.backend.bits, len(names)))
            indices = (("local", self.local), ("sound", self.sound), ("neural", self.neural))
            for kind, index in indices:
                if index is not None:
                    index.load(_features(arrays, kind, len(names)))
        except (KeyError, ValueError) as error:
            raise BadSnapshot(f"its arrays do not fit together: {error}") from None
        self.names.extend(names)
        self.ordinals.update((name, ordinal) for ordinal, name in enumerate(names))


def _features(
    arrays: Mapping[str, NDArray[Any]], kind: str, references: int
) -> dict[str, NDArray[Any]]:
    """The arrays of that kind; `BadSnapshot` where they speak of references that have no name."""
    mine = {n.removeprefix(f"{kind}/"): a for n, a in arrays.items() if n.startswith(f"{kind}/")}
    for name in ("references", "ordinals"):
        if name in mine and len(mine[name]):
            least, most = int(mine[name].min()), int(mine[name].max())
            if least < 0 or most >= references:
                raise BadSnapshot(f"{kind} features of references that are not named")
    return mine


def _checked(rows: Rows, bits: int, references: int) -> Rows:
    """The same rows; `ValueError` unless shapes and dtypes are as `Rows` says and the references
    rise within their number."""
    model = no_rows(bits)
    for column in fields(Rows):
        have, want = getattr(rows, column.name), getattr(model, column.name)
        if have.dtype != want.dtype or have.shape != (len(rows), *want.shape[1:]):
            raise ValueError(f"{column.name} {have.shape} {have.dtype}")
    ordinals = rows.references
    if len(ordinals) and (ordinals[0] < 0 or ordinals[-1] >= references):
        raise ValueError("references that are not named")
    if (ordinals[1:] < ordinals[:-1]).any():
        raise ValueError("references out of order")
    return rows
