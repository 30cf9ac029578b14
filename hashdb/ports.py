"""The seams of what is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hashdb.model import Codes, Ints


@dataclass(frozen=True, slots=True, eq=False)
class CodeHits:
    """Codes within the radius, one row a hit, in no order.

    `queries` (k,) int64: the row of the query's codes; `ids` (k,) int64: the id that the code was
    added under; `distances` (k,) int16: Hamming distance in bits.
    """

    queries: Ints
    ids: Ints
    distances: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.queries)


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

    def search(self, codes: Codes, radius: int) -> CodeHits:
        """Every code within `radius` bits (inclusive) of each of (m, bits/8) query codes."""
        ...

    def arrays(self) -> tuple[Codes, Ints]:
        """All codes and ids that can be found, for a snapshot."""
        ...


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One line of a partner's hash list. `change` is "add" or "withdraw"; `checkpoint` is where to
    go on after this line; `hashes` holds what an add carries, in the exchange's JSON form."""

    change: str
    reference_id: str
    checkpoint: str
    body: dict[str, object]


class Partner(Protocol):
    """The other side of an exchange."""

    def fetch(self, checkpoint: str | None) -> Iterator[FeedEntry]:
        """All changes after `checkpoint` (None: from the beginning), in order."""
        ...
