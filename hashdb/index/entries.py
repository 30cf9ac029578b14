"""Codes and ids out of an index's segments, in the order of the ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Ints
from hashdb.placings import natural_bits
from hashdb.ports import Piece


class Entries(Protocol):
    """A segment that never changes."""

    @property
    def span(self) -> tuple[int, int]:
        """The lowest and the highest id."""
        ...

    def entries(self) -> tuple[Codes, Ints]:
        """The codes and ids that can be found, in the order of the ids."""
        ...


def in_order(segments: Sequence[Entries]) -> Iterator[tuple[Codes, Ints]]:
    """All entries, a part at a time: segments whose ids lie among one another's make one part."""
    together: list[Entries] = []
    end = -1
    for segment in sorted(segments, key=lambda s: s.span):
        if together and segment.span[0] > end:
            yield joined(together)
            together = []
        together.append(segment)
        end = max(end, segment.span[1])
    if together:
        yield joined(together)


def joined(segments: Sequence[Entries]) -> tuple[Codes, Ints]:
    """The entries of segments, at least one, in the order of the ids."""
    parts = [segment.entries() for segment in segments]
    if len(parts) == 1:
        return parts[0]
    codes, ids = np.concatenate([c for c, _ in parts]), np.concatenate([i for _, i in parts])
    order = np.argsort(ids, kind="stable")
    return codes[order], ids[order]


def nothing(bits: int) -> tuple[Codes, Ints]:
    """No codes under no ids."""
    return np.empty((0, bits // 8), dtype=np.uint8), np.empty(0, dtype=np.int64)


class OwnCopy:
    """What an `IndexBackend` says of snapshots that needs no tables and keeps codes of its own."""

    @property
    def shares(self) -> bool:
        return False

    def tables(self, codes: Codes) -> Iterator[Piece]:
        """As `IndexBackend.tables`: none."""
        yield from ()

    def load(self, codes: Codes, tables: Mapping[str, NDArray[Any]]) -> None:
        """As `IndexBackend.load`: a copy."""
        self.add(natural_bits(codes), np.arange(len(codes), dtype=np.int64))

    def add(self, codes: Codes, ids: Ints) -> None:
        raise NotImplementedError
