"""The oracle: Hamming distance by XOR and popcount in numpy, with nothing left out.

Every other engine must give the same answers; this one is for tests and for small banks.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from hashdb.index.checks import (
    check_bits,
    check_codes,
    check_entries,
    check_ids,
    check_radius,
    join_hits,
)
from hashdb.index.entries import OwnCopy
from hashdb.model import Codes, Ints
from hashdb.placings import sorted_bits
from hashdb.ports import CodeHits

_PAIRS = 1 << 21  # distances held at once: bounds the memory of a search to tens of MB


class ExactIndex(OwnCopy):
    """Brute force over (n, bits/8) uint8 codes; the `IndexBackend` that is easy to trust.

    All codes and ids are one pair of arrays that is replaced as a whole by `add` and `remove`:
    both take time in proportion to the size, and a search beside them sees one pair or the other.
    """

    def __init__(self, bits: int) -> None:
        self._bits = check_bits(bits)
        self._write = threading.Lock()
        self._entries: tuple[Codes, Ints] = (
            np.empty((0, bits // 8), dtype=np.uint8),
            np.empty(0, dtype=np.int64),
        )

    @property
    def bits(self) -> int:
        return self._bits

    def __len__(self) -> int:
        return len(self._entries[1])

    def add(self, codes: Codes, ids: Ints) -> None:
        """As `IndexBackend.add`; `ValueError` where an id is there already."""
        codes, ids = check_entries(codes, ids, self._bits)
        with self._write:
            old_codes, old_ids = self._entries
            if np.isin(ids, old_ids).any():
                raise ValueError("an id is in the index already")
            self._entries = (np.concatenate([old_codes, codes]), np.concatenate([old_ids, ids]))

    def remove(self, ids: Ints) -> None:
        """As `IndexBackend.remove`."""
        ids = check_ids(ids)
        with self._write:
            old_codes, old_ids = self._entries
            keep = ~np.isin(old_ids, ids)
            self._entries = (old_codes[keep], old_ids[keep])

    def search(self, codes: Codes, radius: int, most: int | None = None) -> CodeHits:
        """As `IndexBackend.search`; gives all hits, whatever `most` is."""
        queries = check_codes(codes, self._bits).view(np.uint64)
        radius = check_radius(radius)
        stored, ids = self._entries
        words = stored.view(np.uint64)
        step = max(1, _PAIRS // max(1, len(words)))
        parts = []
        for first in range(0, len(queries), step):
            batch = queries[first : first + step]
            distances = np.zeros((len(batch), len(words)), dtype=np.int16)
            for word in range(words.shape[1]):
                distances += np.bitwise_count(batch[:, word, None] ^ words[None, :, word])
            rows, columns = np.nonzero(distances <= radius)
            found = distances[rows, columns]
            parts.append(
                CodeHits(rows.astype(np.int64) + first, ids[columns], found, stored[columns])
            )
        return join_hits(parts, self._bits)

    def may_hit(self, codes: Codes, radius: int) -> bool:
        """As `IndexBackend.may_hit`."""
        return True

    def arrays(self) -> tuple[Codes, Ints]:
        """All codes and ids, in the order of the ids."""
        codes, ids = self._entries
        order = np.argsort(ids)
        return codes[order], ids[order]

    def parts(self) -> tuple[int, Iterator[tuple[Codes, Ints]]]:
        """As `IndexBackend.parts`."""
        codes, ids = self.arrays()
        return len(ids), iter([(sorted_bits(codes), ids)])
