"""References' ids by ordinal, and ordinals by id: those of a snapshot as maps that processes share,
and those that came since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from hashdb.errors import BadSnapshot
from hashdb.model import Ints

ARRAYS = ("names", "names/ends", "names/order")


class Names(Sequence[str]):
    """Ids, of which the one with the ordinal i is `names[i]`. It only grows, because hits refer to
    it; `find` knows those that were registered and not dropped.

    One writer at a time; it may be read beside it.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]] | None = None) -> None:
        """With what `packed` gave. `BadSnapshot` where it does not fit together."""
        self._text, self._ends, self._order = _NOTHING if arrays is None else _mapped(arrays)
        self._dropped: set[int] = set()  # of the mapped ones
        self._new: list[str] = []
        self._ordinals: dict[str, int] = {}  # of the new ones, registered and not dropped

    def __len__(self) -> int:
        return len(self._ends) + len(self._new)

    @overload
    def __getitem__(self, ordinal: int) -> str: ...
    @overload
    def __getitem__(self, ordinal: slice) -> list[str]: ...
    def __getitem__(self, ordinal: int | slice) -> str | list[str]:
        if isinstance(ordinal, slice):
            return [self[i] for i in range(*ordinal.indices(len(self)))]
        if ordinal < 0:
            ordinal += len(self)
        mapped = len(self._ends)
        return self._at(ordinal).decode() if ordinal < mapped else self._new[ordinal - mapped]

    def find(self, name: str) -> int | None:
        """The ordinal; None where it was never registered, or was dropped."""
        found = self._ordinals.get(name)
        if found is None and len(self._ends):
            found = self._mapped(name)
            found = None if found in self._dropped else found
        return found

    def append(self, name: str) -> int:
        """A new name's ordinal; `find` does not know it yet."""
        self._new.append(name)
        return len(self) - 1

    def register(self, ordinals: Mapping[str, int]) -> None:
        """Let `find` know names that were appended."""
        self._ordinals.update(ordinals)

    def drop(self, names: Iterable[str]) -> list[int]:
        """Forget names; the ordinals of those that were known."""
        gone = []
        for name in names:
            ordinal = self.find(name)
            if ordinal is not None:
                gone.append(ordinal)
                if self._ordinals.pop(name, None) is None:
                    self._dropped.add(ordinal)
        return gone

    def known(self) -> NDArray[np.int32]:
        """The ordinals that `find` knows, rising."""
        here = np.ones(len(self._ends), dtype=np.bool_)
        here[list(self._dropped)] = False
        new = np.array(sorted(self._ordinals.values()), dtype=np.int32)
        return np.concatenate([np.flatnonzero(here).astype(np.int32), new])

    def packed(self, ordinals: NDArray[np.int32]) -> Iterator[tuple[str, NDArray[Any]]]:
        """Those names as arrays, with new ordinals from 0: `names`, UTF-8, one a line;
        `names/ends` (n,) int64, where each line ends; `names/order` (n,) int32, the ordinals by
        the names' order."""
        every = [self[int(o)].encode() for o in ordinals]
        ends = np.cumsum([len(name) + 1 for name in every], dtype=np.int64) - 1
        order = sorted(range(len(every)), key=every.__getitem__)
        arrays = (np.frombuffer(b"\n".join(every), np.uint8), ends, np.array(order, np.int32))
        yield from zip(ARRAYS, arrays, strict=True)

    def _at(self, ordinal: int) -> bytes:
        first = int(self._ends[ordinal - 1]) + 1 if ordinal else 0
        return self._text[first : int(self._ends[ordinal])].tobytes()

    def _mapped(self, name: str) -> int | None:
        wanted, low, high = name.encode(), 0, len(self._order)
        while low < high:
            middle = (low + high) // 2
            if self._at(int(self._order[middle])) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == len(self._order):
            return None
        ordinal = int(self._order[low])
        return ordinal if self._at(ordinal) == wanted else None


_Mapped = tuple[NDArray[np.uint8], Ints, NDArray[np.int32]]


def _mapped(arrays: Mapping[str, NDArray[Any]]) -> _Mapped:
    text, ends, order = (arrays[name] for name in ARRAYS)
    for have, dtype in ((text, np.uint8), (ends, np.int64), (order, np.int32)):
        if have.dtype != dtype or have.ndim != 1:
            raise BadSnapshot(f"names: {have.shape} {have.dtype}")
    if len(ends) != len(order) or (int(ends[-1]) if len(ends) else 0) != len(text):
        raise BadSnapshot("names that do not fit together")
    return text, ends, order


_NOTHING: _Mapped = (np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int32))
