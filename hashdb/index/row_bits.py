"""A bit for each row of a segment that never changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Ints

BLOCK = 1 << 22  # rows; a multiple of 8

_Bits = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class RowBits:
    """Which rows are marked. Marking some makes new bits that share all blocks but theirs: half a
    megabyte is copied for one row, however many rows there are."""

    blocks: tuple[_Bits, ...]

    @classmethod
    def none(cls, n: int) -> RowBits:
        """No row of `n` is marked."""
        empty = np.zeros(min(n, BLOCK) // 8 + 1, dtype=np.uint8)
        empty.flags.writeable = False
        return cls((empty,) * max(1, -(-n // BLOCK)))

    @property
    def nbytes(self) -> int:
        return sum({id(block): block.nbytes for block in self.blocks}.values())

    def has(self, rows: Ints) -> NDArray[np.bool_]:
        """(k,): whether each of (k,) rows is marked."""
        if len(self.blocks) == 1:
            return _has(self.blocks[0], rows)
        marked, number = np.zeros(len(rows), dtype=np.bool_), rows // BLOCK
        for one in np.unique(number):
            here = number == one
            marked[here] = _has(self.blocks[one], rows[here] % BLOCK)
        return marked

    def marked(self, rows: Ints) -> RowBits:
        """These, and those rows too."""
        blocks, number = list(self.blocks), rows // BLOCK
        for one in np.unique(number):
            bits, places = blocks[one].copy(), rows[number == one] % BLOCK
            np.bitwise_or.at(bits, places >> 3, (1 << (places & 7)).astype(np.uint8))
            bits.flags.writeable = False
            blocks[one] = bits
        return RowBits(tuple(blocks))

    def unmarked(self, begin: int, end: int) -> Ints:
        """The rows from `begin` on and before `end` that are not marked, rising."""
        found = [np.empty(0, dtype=np.int64)]
        for number in range(begin // BLOCK, -(-end // BLOCK)):
            first = number * BLOCK
            bits = np.unpackbits(
                self.blocks[number], count=min(end - first, BLOCK), bitorder="little"
            )
            rows = np.flatnonzero(bits == 0) + first
            found.append(rows[rows >= begin] if first < begin else rows)
        return np.concatenate(found)


def _has(bits: _Bits, rows: Ints) -> NDArray[np.bool_]:
    return np.asarray(bits[rows >> 3] >> (rows & 7).astype(np.uint8) & 1, dtype=np.bool_)
