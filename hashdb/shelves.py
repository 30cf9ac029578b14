"""All that is held of references in memory, and as a snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.format import Writer
from hashdb.model import Descriptors, Fingerprint, LocalFeatures, SoundPeaks
from hashdb.names import Names
from hashdb.ports import DescriptorBackend, LandmarkBackend, LocalBackend
from hashdb.shelf import Packing, Rows, Shelf, join_rows, rows_of

Features = TypeVar("Features")


@dataclass(slots=True, eq=False)
class Shelves:
    """What is held of all references, as of change `number`, whose reference is `last`.

    `local` holds the local features, `sound` the sounds and `neural` the descriptors of one model,
    if any are wanted. `banks_off`: the banks that were switched off when it was last asked which
    references are hidden (`hashdb.store.hidden`); None: it never was.

    One writer at a time; searches may run beside it.
    """

    shelves: Mapping[str, Shelf]
    number: int = 0
    last: str | None = None
    names: Names = field(default_factory=Names)
    local: LocalBackend | None = None
    sound: LandmarkBackend | None = None
    neural: DescriptorBackend | None = None
    banks_off: frozenset[str] | None = None
    hidden: Mapping[str, int | None] = field(default_factory=dict)  # ids and ordinals

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
        self.names.register(fresh)

    def _fresh(
        self, pairs: Iterable[tuple[str, Features]], fresh: dict[str, int]
    ) -> Iterator[tuple[int, Features]]:
        """What is of references that are not here yet, with their ordinals, which are given out on
        the way and noted in `fresh`."""
        for name, one in pairs:
            if name not in fresh:
                if self.names.find(name) is not None:
                    continue
                fresh[name] = self.names.append(name)
            yield fresh[name], one

    def remove(self, names: Iterable[str]) -> None:
        """Take references out; those that are not here are passed over."""
        ordinals = self.names.drop(names)
        if ordinals:
            for shelf in self.shelves.values():
                shelf.remove(ordinals)
            for index in (self.local, self.sound, self.neural):
                if index is not None:
                    index.remove(ordinals)

    def hide(self, names: Iterable[str]) -> None:
        """Let searches pass over these references, and over no others."""
        known = self.hidden
        self.hidden = {n: known[n] if n in known else self.names.find(n) for n in names}
        ordinals = [o for o in self.hidden.values() if o is not None]
        for shelf in self.shelves.values():
            shelf.hide(ordinals)
        for index in (self.local, self.sound, self.neural):
            if index is not None:
                index.hide(ordinals)

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

    def size(self) -> int:
        """How many codes, features, landmarks and descriptors can be found."""
        beside = (self.local, self.sound, self.neural)
        return sum(map(len, self.shelves.values())) + sum(len(i) for i in beside if i is not None)

    def packing(self) -> ShelvesPacking:
        """What can be found now, to be written to a snapshot while changes go on."""
        beside = (("local", self.local), ("sound", self.sound), ("neural", self.neural))
        return ShelvesPacking(
            self.names,
            self.names.known(),
            {kind: shelf.packing() for kind, shelf in self.shelves.items()},
            {kind: index.arrays() for kind, index in beside if index is not None},
            self.local,
        )

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Fill these shelves, which are empty, with what `ShelvesPacking.write` wrote; the arrays
        are kept. `BadSnapshot` where they do not fit together."""
        try:
            names = Names(arrays)
            for kind, shelf in self.shelves.items():
                shelf.load(_of(arrays, kind), len(names))
            indices = (("local", self.local), ("sound", self.sound), ("neural", self.neural))
            for kind, index in indices:
                if index is not None:
                    index.load(_features(arrays, kind, len(names)))
        except (KeyError, ValueError) as error:
            raise BadSnapshot(f"its arrays do not fit together: {error}") from None
        self.names = names


@dataclass(frozen=True, slots=True, eq=False)
class ShelvesPacking:
    """All that is held at one moment. `known`: the ordinals of references that are, rising;
    `features`: the arrays of what has an index of its own."""

    names: Names
    known: NDArray[np.int32]
    shelves: Mapping[str, Packing]
    features: Mapping[str, Mapping[str, NDArray[Any]]]
    local: LocalBackend | None

    def write(self, out: Writer) -> None:
        """Write it, with the ordinals counted anew without gaps."""
        ordinals = np.full(len(self.names), -1, dtype=np.int32)
        ordinals[self.known] = np.arange(len(self.known), dtype=np.int32)
        for name, array in self.names.packed(self.known):
            out.add(name, array)
        for kind, packing in self.shelves.items():
            packing.write(out, kind, ordinals)
        for kind, arrays in self.features.items():
            for name, array in arrays.items():
                speaks = name in ("references", "ordinals")
                out.add(f"{kind}/{name}", ordinals[array] if speaks else array)
        if self.local is not None:
            for name, array in self.local.tables(self.features["local"]).items():
                out.add(f"local/{name}", array)


def _of(arrays: Mapping[str, NDArray[Any]], kind: str) -> dict[str, NDArray[Any]]:
    """The arrays of that kind."""
    return {n.removeprefix(f"{kind}/"): a for n, a in arrays.items() if n.startswith(f"{kind}/")}


def _features(
    arrays: Mapping[str, NDArray[Any]], kind: str, references: int
) -> dict[str, NDArray[Any]]:
    """The arrays of that kind; `BadSnapshot` where they speak of references that have no name."""
    mine = _of(arrays, kind)
    for name in ("references", "ordinals"):
        if name in mine and len(mine[name]):
            least, most = int(mine[name].min()), int(mine[name].max())
            if least < 0 or most >= references:
                raise BadSnapshot(f"{kind} features of references that are not named")
    return mine
