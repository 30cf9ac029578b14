"""What the loops of `hashdb.index.hamming` are given, and the filing of codes. Needs numba.

Parts of a word stand in a ring: beside the last one stands the first. The layout of a segment is
how many parts a word has: four of 16 bits, or three of 21 (`bits_of_part`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hashdb.machine import LANES, compiled, inlined

SMALL, WIDE = 4, 3
"""Parts of a word in segments of few codes, and of many."""

ROW_BITS = 27  # of an entry of a wide table; five bits of the part beside it stand above them
SKETCH_BITS = 16


class Stored(NamedTuple):
    """n codes: `codes` (n * words,) uint64; `skip`: a bit for each row, the lowest of a byte first:
    set for those to pass over."""

    codes: NDArray[np.uint64]
    skip: NDArray[np.uint8]


class Asked(NamedTuple):
    """m query codes: `codes` (m * words,) uint64.

    Queries that have the same word ask the tables of its parts once. Of the word w: `members[w]`
    (m,) int64, the queries by that word; `sizes[w]` sets of equal ones, of which the set s is
    `members[w, begins[w, s]:begins[w, s + 1]]`.
    """

    codes: NDArray[np.uint64]
    members: NDArray[np.int64]
    begins: NDArray[np.int64]
    sizes: NDArray[np.int64]


def asked(codes: NDArray[np.uint64]) -> Asked:
    """(m, words) uint64, C-contiguous and writable."""
    words = np.ascontiguousarray(codes.T)
    members = np.argsort(words, axis=1, kind="stable")
    begins = np.zeros((len(words), len(codes) + 1), dtype=np.int64)
    sizes = np.empty(len(words), dtype=np.int64)
    for word, order in enumerate(members):
        values = words[word][order]
        starts = np.flatnonzero(values[1:] != values[:-1]) + 1
        sizes[word] = len(starts) + 1
        begins[word, 1 : len(starts) + 1] = starts
        begins[word, len(starts) + 1] = len(codes)
    return Asked(codes.reshape(-1), np.ascontiguousarray(members), begins, sizes)


class Tables(NamedTuple):
    """d distinct codes filed under each of t parts.

    `starts` (t, 2^key_bits + 1) uint32: where a key's entries begin; `sketches` (t, d + LANES)
    uint16: the low bits of the part beside each entry's; `rows` uint8: of entries of small layout
    (t, 3d) its row, low byte first; of wide layout (t, 4d) its row in the low `ROW_BITS`, and above
    them the rest of the part beside.
    """

    starts: NDArray[np.uint32]
    sketches: NDArray[np.uint16]
    rows: NDArray[np.uint8]


def bits_of_part(each: int) -> int:
    return 64 // each


def bytes_of_row(each: int) -> int:
    return 3 if each == SMALL else 4


@inlined
def part_mask(each: Any) -> Any:
    """As many low bits as a part has."""
    return (np.uint64(1) << np.uint64(64 // each)) - np.uint64(1)


@inlined
def has(bits: Any, row: Any) -> Any:
    return (bits[row >> 3] >> (row & 7)) & 1 != 0


@compiled
def fill_table(
    stored: Stored, words: int, each: int, table: int, starts: NDArray[np.uint32],
    sketches: NDArray[np.uint16], rows: NDArray[np.uint8], places: NDArray[np.int64],
) -> None:  # fmt: skip
    """File all codes but those to skip in one of the tables, which has room for so many. `places`:
    room for a number a key."""
    codes, skip = stored
    n, keys, width = len(codes) // words, len(starts) - 1, 3 if each == SMALL else 4
    word, bits = table // each, 64 // each
    shift, beside = np.uint64(table % each * bits), np.uint64((table + 1) % each * bits)
    mask, low = np.uint64(keys - 1), np.uint64((1 << SKETCH_BITS) - 1)
    starts[:] = 0
    for row in range(n):
        if not has(skip, row):
            starts[np.int64((codes[row * words + word] >> shift) & mask) + 1] += np.uint32(1)
    for key in range(keys):
        places[key] = starts[key]
        starts[key + 1] += starts[key]
    for row in range(n):
        if not has(skip, row):
            own = np.int64((codes[row * words + word] >> shift) & mask)
            near = (codes[row * words + word] >> beside) & part_mask(each)
            at = places[own]
            places[own] = at + 1
            sketches[at] = near & low
            entry = np.uint64(row) | (near >> np.uint64(SKETCH_BITS)) << np.uint64(ROW_BITS)
            for byte in range(width):
                rows[width * at + byte] = (entry >> np.uint64(8 * byte)) & np.uint64(255)
    sketches[len(sketches) - LANES :] = 0
