"""Codes of 256 bits filed under parts of themselves, and those that are near a query's code.

Each code is filed under `PARTS` parts, 22 bits each and none twice; codes that are equal in a part
are compared (locality-sensitive hashing by sampled bits: Indyk and Motwani, STOC 1998; Norouzi et
al., "Fast exact search in Hamming space with multi-index hashing", 2014). Neighbouring bits serve
as well as bits drawn at random (docs/decisions/0014-local-index-at-scale.md), and are had by a
shift. Smaller banks use the first bits of each part.

Numpy here; `hashdb.index.compiled` has the same functions as machine code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hashdb.index import voting
from hashdb.index.voting import Pairs
from hashdb.model import Floats, Ints

PARTS, PART_BITS = 11, 22
FEWEST_BITS = 12
RADIUS = 56

MOST_IN_BUCKET = 64
"""Codes that are equal in a part and are looked at: of a fuller bucket the oldest half of so many,
so that all features of what is held very often vote for the same of its pictures, and as many
spread over the rest, which tell how common it is."""

Words = NDArray[np.uint64]
"""(n, 4): codes of 256 bits."""

Rows = NDArray[np.uint32]
Laid = NDArray[np.float32]

UNITS = np.array([64.0, 100.0], np.float32)
"""Of a diameter in a pixel, of an angle in a degree."""

STEP = 256
"""Rows from one whose picture is known to the next."""


class Kernels(Protocol):
    """The functions that take the time. All implementations give the same answers."""

    def file(self, words: Words, length: int, starts: Rows, rows: Rows) -> None:
        """Fill `starts` (PARTS, 2^length + 1) and `rows` (PARTS, n): the rows with the key k in
        part p, rising, are `rows[p, starts[p, k]:starts[p, k + 1]]`."""
        ...

    def near(self, queries: Words, filed: Filed) -> tuple[Ints, Ints, Ints]:
        """(query row, row, distance in bits) of pairs within `RADIUS` that are equal in any part,
        as far as `MOST_IN_BUCKET` lets them be looked at; each once, rising by query."""
        ...

    def common(self, queries: Words, filed: Filed) -> Ints:
        """(q,) how many rows `near` would compare each query with."""
        ...

    def pairs(self, queries: Words, laid: Laid, filed: Filed, owners: Owners) -> Pairs:
        """The pairs of `near` that are in pictures which are alive. `laid` (q, 2): each query's
        diameter in pixels and angle in degrees."""
        ...

    def votes(self, pairs: Pairs, queries: int, incidents: int, most: int) -> tuple[Ints, Floats]:
        """The `most` pictures with the most votes (`hashdb.index.voting.votes`), and these, where
        each pair says as much as its distance and its feature's rarity among so many incidents let
        it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """Whose the n filed rows are. Of (f,) pictures, one after the other: `first`, the row that each
    begins with; `incidents`; `alive`: not removed. `number`: of the first one in the whole index.
    `places` (n, 4) uint16: of each row, at last, its diameter in 1/64 pixel and its angle in 1/100
    degree. `near`: of every `STEP`-th row its picture."""

    first: Ints
    incidents: NDArray[np.int32]
    alive: NDArray[np.bool_]
    places: NDArray[np.uint16]
    near: NDArray[np.int32]
    number: int


@dataclass(frozen=True, slots=True, eq=False)
class Filed:
    """`words` (n, 4); for `starts` and `rows` see `Kernels.file`; `length`: bits of a key."""

    words: Words
    length: int
    starts: Rows
    rows: Rows

    def buckets(self, queries: Words) -> tuple[Ints, Ints]:
        """(PARTS, q) first places in `rows`, and how many rows from there on are equal: none
        outside `rows`, whatever a file has for `starts`."""
        part = np.arange(PARTS)[:, None]
        keys = np.stack([keys_of(queries, p, self.length) for p in range(PARTS)])
        most = np.uint32(len(self.words))
        start = np.minimum(self.starts[part, keys], most).astype(np.int64)
        end = np.minimum(self.starts[part, keys + 1], most)
        return start, np.maximum(end - start, 0)


def length_of(features: int) -> int:
    """Bits of a key, of so many features."""
    return int(np.clip(round(np.log2(features)), FEWEST_BITS, PART_BITS))


def filed(words: Words, kernels: Kernels) -> Filed:
    """At least one code."""
    length = length_of(len(words))
    starts = np.empty((PARTS, (1 << length) + 1), np.uint32)
    rows = np.empty((PARTS, len(words)), np.uint32)
    kernels.file(words, length, starts, rows)
    return Filed(words, length, starts, rows)


def keys_of(words: Words, part: int, length: int) -> Ints:
    """(n,) the first `length` bits of a part."""
    word, shift = divmod(part * PART_BITS, 64)
    keys = words[:, word] >> np.uint64(shift)
    if shift + PART_BITS > 64:
        keys = keys | words[:, word + 1] << np.uint64(64 - shift)
    return (keys & np.uint64((1 << length) - 1)).astype(np.int64)


class NumpyKernels:
    """A `Kernels`."""

    def file(self, words: Words, length: int, starts: Rows, rows: Rows) -> None:
        for part in range(PARTS):
            keys = keys_of(words, part, length)
            rows[part] = np.argsort(keys, kind="stable")
            starts[part, 0] = 0
            np.cumsum(np.bincount(keys, minlength=1 << length), out=starts[part, 1:])

    def near(self, queries: Words, filed: Filed) -> tuple[Ints, Ints, Ints]:
        start, equal = filed.buckets(queries)
        pairs: list[Ints] = []
        apart: list[Ints] = []
        n, half = len(filed.words), MOST_IN_BUCKET // 2
        for part in range(PARTS):
            count = np.minimum(equal[part], MOST_IN_BUCKET)
            query = np.repeat(np.arange(len(queries)), count)
            place = np.arange(len(query)) - np.repeat(np.cumsum(count) - count, count)
            spread = half + (place - half) * (equal[part, query] - half) // half
            full = (equal[part, query] > MOST_IN_BUCKET) & (place >= half)
            place = start[part, query] + np.where(full, spread, place)
            row = filed.rows[part, place].astype(np.int64)
            different = filed.words[row] ^ queries[query]
            distance = np.bitwise_count(different).sum(axis=1, dtype=np.int64)
            good = distance <= RADIUS
            pairs.append(query[good] * n + row[good])
            apart.append(distance[good])
        once, first = np.unique(np.concatenate(pairs), return_index=True)
        return once // n, once % n, np.concatenate(apart)[first]

    def common(self, queries: Words, filed: Filed) -> Ints:
        return np.asarray(np.minimum(filed.buckets(queries)[1], MOST_IN_BUCKET).sum(axis=0))

    def pairs(self, queries: Words, laid: Laid, filed: Filed, owners: Owners) -> Pairs:
        asked, rows, distances = self.near(queries, filed)
        pictures = np.searchsorted(owners.first, rows, side="right") - 1
        kept = owners.alive[pictures]
        asked, rows, pictures = asked[kept], rows[kept], pictures[kept]
        return Pairs(
            asked,
            pictures + owners.number,
            owners.incidents[pictures].astype(np.int64),
            voting.bins_of(laid, asked, owners.places[rows, 2:].astype(np.float32) / UNITS),
            voting.weights_of(distances[kept]),
        )

    def votes(self, pairs: Pairs, queries: int, incidents: int, most: int) -> tuple[Ints, Floats]:
        rare = voting.rarity(pairs, queries, incidents)
        pictures, votes = voting.votes(pairs, pairs.weights * rare[pairs.queries], queries)
        return pictures[:most], votes[:most]
