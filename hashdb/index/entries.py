"""Codes and ids out of an index's segments, in the order of the ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from hashdb.model import Codes, Ints


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
